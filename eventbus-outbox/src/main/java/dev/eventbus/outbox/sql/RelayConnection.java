package dev.eventbus.outbox.sql;

import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A connection of a relay: kept while it works, set up for it, and given back as it was. One thread only, except
 * {@link #openingFor()}.
 */
public final class RelayConnection {

    private static final Logger LOG = LoggerFactory.getLogger(RelayConnection.class);

    private final DataSource dataSource;
    private final OutboxSql sql;
    private final Duration lease;
    private final Runnable asked;

    /** Whether there was a connection before on which everything was there. */
    private boolean begun;

    private @Nullable Connection connection;
    private @Nullable Before before;

    /** {@link System#nanoTime()} since when the data source is being asked; 0 while it is not. */
    private volatile long openingSince;

    private record Before(boolean autoCommit, int isolation, int networkTimeoutMillis, Map<String, String> settings) {}

    /**
     * @param lease for so long may a statement take, and a transaction in which nothing happens
     */
    public RelayConnection(DataSource dataSource, OutboxSql sql, Duration lease) {
        this(dataSource, sql, lease, () -> {});
    }

    /** @param asked run when the data source has answered, before {@link #openingFor()} is empty again */
    public RelayConnection(DataSource dataSource, OutboxSql sql, Duration lease, Runnable asked) {
        this.dataSource = dataSource;
        this.sql = sql;
        this.lease = lease;
        this.asked = asked;
    }

    /** For so long may a statement take, and a transaction in which nothing happens. */
    public Duration lease() {
        return lease;
    }

    public boolean isOpen() {
        return connection != null;
    }

    /** How long the data source has been asked for a connection, if it is being asked. Any thread. */
    public Optional<Duration> openingFor() {
        long since = openingSince;
        return since == 0 ? Optional.empty() : Optional.of(Duration.ofNanos(System.nanoTime() - since));
    }

    /**
     * The connection, opened and checked if there is none.
     *
     * @throws dev.eventbus.StartRefusedException if the tables are not as they must be
     */
    public Connection get() throws SQLException {
        Connection open = connection;
        return open == null ? open() : open;
    }

    private Connection open() throws SQLException {
        openingSince = System.nanoTime() | 1;
        Connection opened;
        try {
            opened = dataSource.getConnection();
        } finally {
            asked.run();
            openingSince = 0;
        }
        return prepared(opened);
    }

    private Connection prepared(Connection opened) throws SQLException {
        connection = opened;
        try {
            Before saved = new Before(
                    opened.getAutoCommit(),
                    opened.getTransactionIsolation(),
                    opened.getNetworkTimeout(),
                    new LinkedHashMap<>());
            before = saved;
            opened.setNetworkTimeout(Runnable::run, Math.toIntExact(lease.toMillis()));
            opened.setAutoCommit(true);
            opened.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            for (Map.Entry<String, String> setting : sql.sessionSettings(lease).entrySet()) {
                saved.settings().put(setting.getKey(), sql.exchange(opened, setting.getKey(), setting.getValue()));
            }
            OutboxSchema schema = new OutboxSchema(sql);
            schema.verifyForRelay(opened);
            if (!begun) {
                schema.verifyLeases(opened);
            }
            begun = true;
            return opened;
        } catch (SQLException | RuntimeException e) {
            close();
            throw e;
        }
    }

    /** Closes it after an error of the database: given back as it was, unless it is lost. */
    public void drop(SQLException error) {
        if (DatabaseFault.isConnectionLost(error)) {
            before = null;
        }
        close();
    }

    /** Gives it back as it was; if that cannot be done, nobody gets it. */
    public void close() {
        Connection open = connection;
        Before saved = before;
        connection = null;
        before = null;
        if (open == null) {
            return;
        }
        try (open) {
            if (saved != null) {
                restore(open, saved);
            }
        } catch (SQLException e) {
            LOG.debug("a connection of the relay was not given back in order; the pool will find out", e);
        }
    }

    private void restore(Connection open, Before saved) throws SQLException {
        try {
            if (!open.getAutoCommit()) {
                open.rollback();
                open.setAutoCommit(true);
            }
            for (Map.Entry<String, String> setting : saved.settings().entrySet()) {
                sql.exchange(open, setting.getKey(), setting.getValue());
            }
            open.setTransactionIsolation(saved.isolation());
            open.setAutoCommit(saved.autoCommit());
            open.setNetworkTimeout(Runnable::run, saved.networkTimeoutMillis());
        } catch (SQLException e) {
            open.abort(Runnable::run); // with the relay's settings it must not serve anybody else
            throw e;
        }
    }
}
