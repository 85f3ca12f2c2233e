package dev.eventbus.outbox.internal;

import dev.eventbus.outbox.sql.FloorTracker;
import dev.eventbus.outbox.sql.OutboxSql;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Optional;
import java.util.function.LongSupplier;

/**
 * Finds out whose transaction keeps the relay from knowing where it may begin to read. Asks nothing while all end in time. One thread
 * only.
 */
public final class WriterWatch {

    private static final long TOLD_AFTER = Duration.ofSeconds(10).toNanos();
    private static final String PROBLEM =
            "A transaction that writes has been open %s. Nothing is lost, but until it ends each look reads again everything published since. %s.";

    private final OutboxSql sql;
    private final LongSupplier nanoTime;

    /** The transaction that all must outlive, 0 if none is waited for. */
    private long awaited;

    private long askAt;
    private String problem = "";

    public WriterWatch(OutboxSql sql, LongSupplier nanoTime) {
        this.sql = sql;
        this.nanoTime = nanoTime;
    }

    /** Comes after each fetch. */
    public void look(Connection connection, FloorTracker floors) throws SQLException {
        long nanos = nanoTime.getAsLong();
        long now = floors.awaited();
        boolean forgotten =
                !problem.isEmpty() && !floors.isSettled(); // with the last connection; who was waited for may live
        if (now != awaited && !forgotten) {
            awaited = now;
            askAt = nanos + TOLD_AFTER;
            problem = "";
        }
        if (now == 0 || nanos - askAt < 0) {
            return;
        }
        askAt = nanos + TOLD_AFTER;
        try (PreparedStatement oldest = connection.prepareStatement(sql.oldestWriter());
                ResultSet writer = oldest.executeQuery()) {
            problem = writer.next()
                    ? PROBLEM.formatted(
                            "since %s: %s".formatted(sql.instant(writer, 2), writer.getString(1)),
                            "Let it commit, or end it: %s".formatted(writer.getString(3)))
                    : PROBLEM.formatted(
                            "for a while, and this user may not see which",
                            "Let it commit; to have it named here, grant pg_read_all_stats to the relay's user");
        }
    }

    /** What a person should know, with the fix. */
    public Optional<String> problem() {
        return problem.isEmpty() ? Optional.empty() : Optional.of(problem);
    }
}
