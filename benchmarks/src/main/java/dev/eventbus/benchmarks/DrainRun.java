package dev.eventbus.benchmarks;

import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** One contestant drains one backlog, once. */
final class DrainRun {

    /** Events before those that are timed: connections, plans and batches are as they are in the long run by then. */
    static final long LEAD = 10_000;

    private static final long FILL_CHUNK = 20_000;
    private static final Duration LOOK_EVERY = Duration.ofMillis(2);
    private static final Duration LIMIT = Duration.ofMinutes(5);

    /**
     * What came of it.
     *
     * @param rate events a second, from when the lead was seen to the end, which is when all are seen and the table is empty
     * @param startMillis from the call to start until the first ones were seen; 0 if it ran before
     */
    record Drained(double rate, double startMillis, Witness.Seen seen) {}

    private final Servers servers;

    DrainRun(Servers servers) {
        this.servers = servers;
    }

    /** Drains a lead, and then as many rows, which are timed. */
    Drained run(Contestant contestant, long timedRows) throws Exception {
        long lead = Math.min(LEAD, timedRows);
        long rows = lead + timedRows;
        contestant.empty(servers);
        servers.execute("CHECKPOINT");
        String topic = servers.createTopic();
        try (Witness witness = Witness.start(servers.bootstrapServers(), topic, lead, rows)) {
            return contestant.mustRunBefore()
                    ? drainWhatComes(contestant, topic, rows, witness)
                    : drainWhatIsThere(contestant, topic, rows, witness);
        } finally {
            servers.deleteTopic(topic);
        }
    }

    /** Without a reader. Returns the processor time from the start until the table is empty. */
    Cpu unwatched(Contestant contestant, long rows) throws Exception {
        contestant.empty(servers);
        servers.execute("CHECKPOINT");
        String topic = servers.createTopic();
        try {
            fill(contestant, topic, rows);
            Cpu before = Cpu.now(servers);
            try (Contestant.Running running = contestant.start(servers, topic)) {
                await(contestant, () -> running.settled() >= rows);
                return Cpu.now(servers).since(before);
            }
        } finally {
            servers.deleteTopic(topic);
        }
    }

    private void fill(Contestant contestant, String topic, long rows) throws SQLException {
        try (Connection tx = servers.connect()) {
            tx.setAutoCommit(false);
            for (long from = 0; from < rows; from += FILL_CHUNK) {
                contestant.fill(tx, topic, from, Math.min(rows, from + FILL_CHUNK));
                tx.commit();
            }
        }
    }

    private Drained drainWhatIsThere(Contestant contestant, String topic, long rows, Witness witness) throws Exception {
        fill(contestant, topic, rows);
        long start = System.nanoTime();
        long end;
        try (Contestant.Running running = contestant.start(servers, topic)) {
            end = awaitDrained(contestant, running, witness, rows);
        }
        return drained(start, end, witness.finish());
    }

    private Drained drainWhatComes(Contestant contestant, String topic, long rows, Witness witness) throws Exception {
        long start;
        long end;
        try (Contestant.Running running = contestant.start(servers, topic);
                Connection tx = servers.connect()) {
            running.awaitReady();
            tx.setAutoCommit(false);
            contestant.fill(tx, topic, 0, rows);
            tx.commit();
            start = System.nanoTime();
            running.committed();
            end = awaitDrained(contestant, running, witness, rows);
        }
        return drained(start, end, witness.finish());
    }

    private static Drained drained(long start, long end, Witness.Seen seen) {
        double seconds = (end - seen.warmAt()) / 1e9;
        return new Drained((seen.count() - seen.warmCount()) / seconds, (seen.firstAt() - start) / 1e6, seen);
    }

    private static long awaitDrained(Contestant contestant, Contestant.Running running, Witness witness, long rows) {
        await(contestant, () -> witness.count() >= rows && running.settled() >= rows);
        return System.nanoTime();
    }

    /** Looks every two milliseconds until it is so. */
    static void await(Participant contestant, BooleanSupplier condition) {
        await(contestant, LIMIT, condition);
    }

    /** As {@link #await(Participant, BooleanSupplier)}, with another limit. */
    static void await(Participant contestant, Duration limit, BooleanSupplier condition) {
        long deadline = System.nanoTime() + limit.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - deadline > 0) {
                throw new IllegalStateException(contestant.name() + " has not come to an end within " + limit);
            }
            LockSupport.parkNanos(LOOK_EVERY.toNanos());
        }
    }
}
