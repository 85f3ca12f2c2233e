package dev.eventbus.examples.springboot;

import jakarta.persistence.Entity;
import jakarta.persistence.Id;

/** What a user owns. */
@Entity
class Asset {

    @Id
    String userId = "";

    long amount;
}
