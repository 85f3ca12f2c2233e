package dev.eventbus.examples.springboot;

import jakarta.persistence.Entity;
import jakarta.persistence.Id;

/** The sum of what was added for a user, as the consumer knows it. */
@Entity
class NetWorth {

    @Id
    String userId = "";

    long total;
}
