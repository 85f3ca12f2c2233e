package dev.eventbus.examples.springboot;

import static jakarta.persistence.LockModeType.PESSIMISTIC_WRITE;

import org.springframework.data.jpa.repository.Lock;
import org.springframework.data.repository.Repository;

interface AssetRepository extends Repository<Asset, String> {

    /** Holds the row until the transaction ends, changed or not: so the user's events are in order of the commits. */
    @Lock(PESSIMISTIC_WRITE)
    Asset findByUserId(String userId);
}
