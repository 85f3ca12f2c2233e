package dev.eventbus.examples.joining;

import dev.eventbus.EventPublisher;
import dev.eventbus.outbox.Outbox;
import org.springframework.context.annotation.Bean;
import org.springframework.jdbc.core.ConnectionCallback;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.transaction.support.TransactionSynchronization;
import org.springframework.transaction.support.TransactionSynchronizationManager;

/**
 * Spring: one publisher for the whole application, which finds the transaction of the calling thread. To be imported by a
 * configuration that has a {@code JdbcTemplate}, a transaction manager and the outbox.
 */
public class SpringEvents {

    // region: publisher
    @Bean
    EventPublisher events(Outbox outbox, JdbcTemplate jdbc) {
        return outbox.joining(work -> {
            TransactionSynchronizationManager.registerSynchronization(new TransactionSynchronization() {
                @Override
                public void afterCommit() {
                    outbox.committed();
                }
            }); // refuses to go on without a transaction
            jdbc.execute((ConnectionCallback<Boolean>) connection -> {
                work.accept(connection);
                return true;
            });
        });
    }
    // end: publisher
}
