package dev.eventbus.consumer.inbox;

import java.sql.Connection;
import java.util.function.Consumer;

/**
 * The user's own transactions, so that what a handler does through their framework (JPA, jOOQ, Spring's {@code JdbcTemplate}) and
 * the inbox's mark commit together, or roll back together. With Spring:
 *
 * <pre>{@code
 * JdbcInbox inbox = JdbcInbox.postgres(work -> transactionTemplate.executeWithoutResult(
 *     status -> jdbcTemplate.execute((ConnectionCallback<Boolean>) connection -> {
 *       work.accept(connection);
 *       return true;
 *     })));
 * }</pre>
 *
 * <p>Called by the threads that run handlers, one transaction on each.
 */
@FunctionalInterface
public interface Transactions {

    /**
     * Begins a transaction of its own, gives the work its connection, and commits when the work returns; rolls back and throws when
     * the work throws, whatever it is.
     *
     * <p>It must not return unless the transaction is committed: an event would count as handled whose effect is lost. The inbox
     * refuses a connection in auto-commit mode, and a return without the work having run.
     *
     * @param work to be called once, by the calling thread; it neither commits, rolls back nor closes
     */
    void run(Consumer<Connection> work);
}
