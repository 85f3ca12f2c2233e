package dev.eventbus.internal;

import java.sql.SQLException;
import java.sql.SQLNonTransientConnectionException;
import java.sql.SQLRecoverableException;
import java.sql.SQLTransientConnectionException;
import java.util.Set;

/**
 * Whose fault a database error is: a closed table for each database. What it does not name is the event's own fault.
 *
 * <p>An entry is a SQLSTATE, or a SQLSTATE and the vendor's code where the state alone says too little. PostgreSQL: <a
 * href="https://www.postgresql.org/docs/current/errcodes-appendix.html">Appendix A</a>; H2: {@code org.h2.api.ErrorCode}; MariaDB and
 * MySQL: <a href="https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference">error codes</a>.
 *
 * <p>Deliberately absent, since the event's own statements cause them: statement time-outs and cancels (57014; 70100/1969,
 * 70100/1317, HY000/3024), time-outs of a whole transaction (25P04), limits of temporary files (53400; HY000/200) and of memory (53200;
 * 90108).
 */
public final class SqlFaults {

    /** The way to the database, whichever it is: classes of the SQL standard. */
    private static final Set<String> CONNECTING = Set.of(
            "08", // connection exception
            "28"); // invalid authorization: the password was changed

    private static final Set<String> POSTGRES = Set.of(
            "25006", // read-only transaction: we are on a standby after a fail-over
            "3D000", // the database is not there
            "25P03", // our session was ended by idle_in_transaction_session_timeout
            "40001", // serialization failure
            "40003", // statement completion unknown
            "40P01", // deadlock
            "53000", // insufficient resources
            "53100", // disk full
            "53300", // too many connections
            "55P03", // lock not available: lock_timeout, NOWAIT
            "57P01", // admin shutdown, pg_terminate_backend
            "57P02", // crash shutdown
            "57P03", // cannot connect now: starting up or in recovery
            "57P05", // our session was ended by idle_session_timeout
            "58000", // system error
            "58030"); // I/O error

    private static final Set<String> H2 = Set.of(
            "40001/40001", // deadlock
            "HYT00/50200", // lock time-out
            "90028/90028", // I/O error
            "90031/90031", // I/O error
            "90067/90067", // connection broken
            "90097/90097", // the database is read-only
            "90098/90098", // database closed
            "90121/90121", // database closed by the JVM's shutdown
            "90131/90131"); // concurrent update of a row

    private static final Set<String> MARIADB_AND_MYSQL = Set.of(
            "25006/1792", // read-only transaction
            "40001/1213", // deadlock
            "HY000/1020", // the row has changed since the snapshot: innodb_snapshot_isolation
            "HY000/1021", // disk full, as temporary tables and logs say it
            "HY000/1114", // disk full, as InnoDB says it: the table is full
            "HY000/1205", // lock wait time-out
            "HY000/1290", // the server is read-only: --read-only, --super-read-only
            "HY000/1836", // the server is in read-only mode
            "HY000/3572", // lock not available: NOWAIT
            "HY000/4031", // our session was ended because it was idle
            "42000/1203", // the user has too many connections
            "42000/1226", // the user has used up a resource, such as connections
            "70100/1927"); // our connection was killed

    private SqlFaults() {}

    /** Whether the database or the way to it is at fault, not the event. */
    public static boolean isInfrastructure(SQLException e) {
        String state = e.getSQLState();
        if (state == null || state.isBlank()) { // so does a pool that is exhausted
            return e instanceof SQLTransientConnectionException
                    || e instanceof SQLNonTransientConnectionException
                    || e instanceof SQLRecoverableException;
        }
        // where there is a state the class says nothing: MariaDB's driver has one of these for whatever a procedure
        // signals
        String withCode = state + "/" + e.getErrorCode();
        return CONNECTING.stream().anyMatch(state::startsWith)
                || POSTGRES.contains(state)
                || H2.contains(withCode)
                || MARIADB_AND_MYSQL.contains(withCode);
    }
}
