package dev.eventbus.examples.joining;

import dev.eventbus.consumer.inbox.JdbcInbox;
import org.springframework.context.annotation.Bean;
import org.springframework.jdbc.core.ConnectionCallback;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.transaction.PlatformTransactionManager;
import org.springframework.transaction.support.TransactionTemplate;

/**
 * Spring: what a handler does through {@code JdbcTemplate}, a repository or an entity manager commits together with the inbox's mark.
 * To be imported by a configuration that has a {@code JdbcTemplate} and a transaction manager: {@code JdbcTransactionManager}, or
 * {@code JpaTransactionManager} with its data source and the dialect of its provider.
 */
public class SpringInbox {

    // region: inbox
    @Bean
    JdbcInbox inbox(PlatformTransactionManager transactions, JdbcTemplate jdbc) {
        TransactionTemplate template = new TransactionTemplate(transactions);
        return JdbcInbox.postgres(work ->
                template.executeWithoutResult(status -> jdbc.execute((ConnectionCallback<Boolean>) connection -> {
                    work.accept(connection);
                    return true;
                })));
    }
    // end: inbox
}
