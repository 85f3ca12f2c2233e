package dev.eventbus.faults;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;

/**
 * Holds publishers back while more than {@value #MOST_BEHIND} events of all that were committed have had no effect. A machine gets as much load
 * as it can take: keys that wait behind a growing backlog say nothing of the library. Thread-safe.
 */
final class Restraint {

    /** About what is published in ten seconds. */
    static final long MOST_BEHIND = 1_000;

    private static final long LOOKS_EVERY = Duration.ofMillis(500).toNanos();
    private static final long WAITS = Duration.ofMillis(50).toNanos();

    private volatile boolean holds;

    /** Whether nothing may be published now. */
    boolean holds() {
        return holds;
    }

    /** Waits while it holds. */
    void pass() {
        while (holds && !Thread.currentThread().isInterrupted()) {
            LockSupport.parkNanos(WAITS);
        }
    }

    /** What a look has seen. */
    void saw(long behind) {
        holds = behind > MOST_BEHIND;
    }

    /** Looks again and again, until the connection fails. */
    void watch(Connection database) throws SQLException {
        try (PreparedStatement look = database.prepareStatement(WorkloadSql.behind())) {
            look.setDouble(1, Fate.FAILS_ALWAYS.share());
            while (!Thread.currentThread().isInterrupted()) {
                try (ResultSet row = look.executeQuery()) {
                    row.next();
                    saw(row.getLong(1));
                }
                LockSupport.parkNanos(LOOKS_EVERY);
            }
        }
    }
}
