package dev.eventbus.examples.joining;

import dev.eventbus.consumer.inbox.JdbcInbox;
import jakarta.persistence.EntityManager;
import jakarta.persistence.EntityManagerFactory;
import org.hibernate.Session;

/** JPA with Hibernate alone: what a handler does through {@link #entities()} commits together with the inbox's mark. */
public final class JpaInbox {

    private final EntityManagerFactory factory;
    private final ThreadLocal<EntityManager> current = new ThreadLocal<>();

    public JpaInbox(EntityManagerFactory factory) {
        this.factory = factory;
    }

    // region: inbox
    public JdbcInbox inbox() {
        return JdbcInbox.postgres(work -> factory.runInTransaction(entities -> {
            current.set(entities);
            try {
                entities.unwrap(Session.class).doWork(work::accept);
                if (entities.getTransaction().getRollbackOnly()) {
                    throw new IllegalStateException("the handler marked its transaction for roll-back");
                }
            } finally {
                current.remove();
            }
        }));
    }

    /** Of the transaction that handles an event on this thread. */
    public EntityManager entities() {
        return current.get();
    }
    // end: inbox
}
