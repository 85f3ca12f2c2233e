package dev.eventbus.consumer.inbox;

import java.sql.Connection;
import java.sql.SQLException;

/** One transaction on a connection fresh from the data source; closing it rolls back what was not committed. */
final class InboxTransaction implements AutoCloseable {

    private final Connection connection;
    private final boolean autoCommit;
    private final InboxSql.Restore isolation;
    private boolean ended; // one thread

    private InboxTransaction(Connection connection, boolean autoCommit, InboxSql.Restore isolation) {
        this.connection = connection;
        this.autoCommit = autoCommit;
        this.isolation = isolation;
    }

    static InboxTransaction begin(Connection connection, InboxSql sql) throws SQLException {
        boolean autoCommit = connection.getAutoCommit();
        if (autoCommit) {
            connection.setAutoCommit(false);
        } else {
            connection.rollback(); // a pool's test query may have begun a transaction
        }
        return new InboxTransaction(connection, autoCommit, sql.isolate(connection));
    }

    void commit() throws SQLException {
        connection.commit();
        ended = true;
    }

    /**
     * Leaves the connection as it came. After a roll-back that failed it is broken off instead: switching auto-commit on would
     * commit what is still open.
     */
    @Override
    public void close() throws SQLException {
        if (!ended) {
            rollback();
        }
        isolation.run();
        if (autoCommit) {
            connection.setAutoCommit(true);
        }
    }

    private void rollback() throws SQLException {
        try {
            connection.rollback();
        } catch (SQLException | RuntimeException e) {
            try {
                connection.abort(Runnable::run);
            } catch (SQLException | RuntimeException again) {
                e.addSuppressed(again);
            }
            throw e;
        }
    }
}
