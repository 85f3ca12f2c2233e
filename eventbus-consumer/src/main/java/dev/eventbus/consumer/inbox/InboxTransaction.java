package dev.eventbus.consumer.inbox;

import dev.eventbus.consumer.inbox.InboxTransactions.SessionWatch;
import java.sql.Connection;
import java.sql.SQLException;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One transaction on a connection of a data source. Closing it rolls back what was not committed and gives the connection back as
 * it came; one that cannot be brought to that state is broken off, so that nobody meets what is left in it.
 */
final class InboxTransaction implements AutoCloseable, SessionWatch {

    private static final Logger LOG = LoggerFactory.getLogger(InboxTransaction.class);

    /** Each takes a connection of a data source and gives it back as it was. */
    private record Pooled(DataSource dataSource, InboxSql sql) implements InboxTransactions {

        @Override
        public <T> T run(Step<T> step) throws Exception {
            try (InboxTransaction transaction = begin(dataSource, sql)) {
                Ending<T> ending = step.in(transaction.connection, transaction);
                if (ending.commits()) {
                    transaction.commit();
                }
                transaction.settled = true;
                return ending.value();
            }
        }
    }

    private final Connection connection;
    private final InboxSql sql;

    // One thread.
    private boolean autoCommit;
    private InboxSql.Restore settings = () -> {};
    private InboxSql.@Nullable Leftovers leftovers;
    private boolean committed;

    /** Whether what came of it stands, whatever becomes of the connection. */
    private boolean settled;

    private InboxTransaction(Connection connection, InboxSql sql) {
        this.connection = connection;
        this.sql = sql;
    }

    /** Transactions on connections of a data source. */
    static InboxTransactions of(DataSource dataSource, InboxSql sql) {
        return new Pooled(dataSource, sql);
    }

    private static InboxTransaction begin(DataSource dataSource, InboxSql sql) throws SQLException {
        InboxTransaction transaction = new InboxTransaction(dataSource.getConnection(), sql);
        try {
            transaction.begin();
            return transaction;
        } catch (SQLException | RuntimeException e) {
            transaction.abort(e); // half of its settings may be ours
            try {
                transaction.connection.close();
            } catch (SQLException | RuntimeException again) {
                suppress(again, e);
            }
            throw e;
        }
    }

    private void begin() throws SQLException {
        autoCommit = connection.getAutoCommit();
        if (autoCommit) {
            connection.setAutoCommit(false);
        } else {
            connection.rollback(); // a pool's test query may have begun a transaction
        }
        settings = sql.prepare(connection);
    }

    @Override
    public boolean leaves() throws SQLException {
        if (leftovers == null) {
            leftovers = sql.remember(connection);
        }
        return leftovers != null;
    }

    private void commit() throws SQLException {
        connection.commit();
        committed = true;
    }

    /** What goes wrong once it is settled is no failure of the transaction: a connection that is gone commits nothing. */
    @Override
    public void close() throws SQLException {
        try (connection) {
            restore();
        } catch (SQLException | RuntimeException e) {
            if (!settled) {
                throw e;
            }
            LOG.debug("a connection was broken off after its transaction: {}", e.toString());
        }
    }

    /** A connection that cannot be restored is broken off before its pool gets it back: switching auto-commit on would commit what is open. */
    private void restore() throws SQLException {
        try {
            if (!committed) {
                connection.rollback();
            }
            if (leftovers == null || leftovers.clear(connection)) {
                settings.run();
                if (autoCommit) {
                    connection.setAutoCommit(true);
                }
            } else {
                connection.abort(Runnable::run);
            }
        } catch (SQLException | RuntimeException e) {
            abort(e);
            throw e;
        }
    }

    private void abort(Exception because) {
        try {
            connection.abort(Runnable::run);
        } catch (SQLException | RuntimeException again) {
            suppress(again, because);
        }
    }

    /** A driver may throw the same exception each time. */
    static void suppress(Throwable again, Throwable because) {
        if (again != because) {
            because.addSuppressed(again);
        }
    }
}
