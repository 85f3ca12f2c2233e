package dev.eventbus.examples.joining;

import static jakarta.persistence.LockModeType.PESSIMISTIC_WRITE;

import dev.eventbus.EventPublisher;
import dev.eventbus.outbox.Outbox;
import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.EntityManager;
import jakarta.persistence.EntityManagerFactory;
import jakarta.persistence.Id;
import jakarta.persistence.Table;
import org.hibernate.Session;
import org.jspecify.annotations.Nullable;

/** JPA with Hibernate: what is pending goes to the database before the event does. */
public final class JpaAssets implements Assets {

    /** A row of {@code asset}. */
    @Entity
    @Table(name = "asset")
    public static class Asset {
        @Id
        @Column(name = "user_id")
        @Nullable
        String userId;

        long amount;
    }

    private final EntityManagerFactory factory;
    private final Outbox outbox;

    public JpaAssets(EntityManagerFactory factory, Outbox outbox) {
        this.factory = factory;
        this.outbox = outbox;
    }

    // region: publisher
    /** With Spring, one publisher over the shared entity manager will do; then register {@code committed()} as there. */
    EventPublisher events(EntityManager entities) {
        return outbox.joining(work -> {
            entities.flush(); // what is written late is locked late: an event numbered before can be out of order
            entities.unwrap(Session.class).doWork(work::accept);
        });
    }
    // end: publisher

    // region: set
    @Override
    public void set(String user, long amount) {
        factory.runInTransaction(entities -> {
            Asset asset = entities.find(Asset.class, user, PESSIMISTIC_WRITE); // an unchanged amount locks nothing
            asset.amount = amount; // written by the flush
            events(entities).publish(ASSET_UPDATED, new AssetUpdated(user, amount));
        });
        outbox.committed();
    }
    // end: set
}
