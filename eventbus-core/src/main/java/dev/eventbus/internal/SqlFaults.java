package dev.eventbus.internal;

import java.sql.SQLException;
import java.sql.SQLNonTransientConnectionException;
import java.sql.SQLRecoverableException;
import java.sql.SQLTransientConnectionException;
import java.util.Set;

/**
 * Whose fault a database error is: a closed table by SQLSTATE. What it does not name is the event's own fault.
 *
 * <p>PostgreSQL: <a href="https://www.postgresql.org/docs/current/errcodes-appendix.html">Appendix A</a>; H2:
 * {@code org.h2.api.ErrorCode}. Deliberately absent, since the event's own statement causes them: 57014 (statement time-out,
 * cancel), 53400 (temporary file limit), 53200 (out of memory).
 */
public final class SqlFaults {

    private static final Set<String> INFRASTRUCTURE = Set.of(
            "40001", // serialization failure; H2: deadlock
            "40P01", // deadlock
            "55P03", // lock not available: lock_timeout
            "25006", // read-only transaction: we are on a standby after a fail-over
            "25P03", // our session was ended by idle_in_transaction_session_timeout
            "53100", // disk full
            "53300", // too many connections
            "57P01", // admin shutdown
            "57P02", // crash shutdown
            "57P03", // cannot connect now: starting up or in recovery
            "57P05", // our session was ended by idle_session_timeout
            "HYT00", // H2: lock time-out
            "90067", // H2: connection broken
            "90098", // H2: database closed
            "90121", // H2: database closed by the JVM's shutdown
            "90131"); // H2: concurrent update of a row

    private SqlFaults() {}

    /** Whether the database or the way to it is at fault, not the event. */
    public static boolean isInfrastructure(SQLException e) {
        String state = e.getSQLState();
        if (state != null && !state.isBlank()) {
            return state.startsWith("08") || INFRASTRUCTURE.contains(state);
        }
        // a pool that is exhausted or cannot connect often gives no state
        return e instanceof SQLTransientConnectionException
                || e instanceof SQLNonTransientConnectionException
                || e instanceof SQLRecoverableException;
    }
}
