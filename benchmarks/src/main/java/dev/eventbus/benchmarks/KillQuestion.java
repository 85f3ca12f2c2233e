package dev.eventbus.benchmarks;

import java.sql.SQLException;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/**
 * A runner's JVM is killed in the middle, and another of its group goes on: is everything handled, how much comes again, is an effect
 * doubled?
 */
final class KillQuestion {

    /** After which the broker gives a dead member's partitions away. */
    static final int SESSION_MILLIS = 6_000;

    private static final Duration QUIET = Duration.ofSeconds(1);

    private final Servers servers;
    private final ConsumerFaults faults;
    private final Backlog backlog;
    private final long events;

    private long booked;
    private long repeats;
    private long doubled;
    private long violations;

    KillQuestion(Servers servers, ConsumerFaults faults, Backlog backlog, boolean quick) {
        this.servers = servers;
        this.faults = faults;
        this.events = Math.min(backlog.events(), quick ? 30_000 : 100_000);
        this.backlog = backlog;
    }

    void ask() throws Exception {
        System.err.println("SIGKILL");
        Backlog some = Backlog.fill(servers, events, backlog.keys());
        String group = ConsumeRun.newGroup();
        try (Ledger ledger = Ledger.create(servers, 2)) {
            ledger.empty();
            try (ConsumerChild first = ConsumerChild.start(servers, ConsumerProcess.BOOKING, some, group)) {
                await(() -> first.said().handled() >= events / 3);
                first.kill();
            }
            try (ConsumerChild second = ConsumerChild.start(servers, ConsumerProcess.BOOKING, some, group)) {
                await(() -> {
                    second.said();
                    return booked(ledger) >= events;
                });
                LockSupport.parkNanos(QUIET.toNanos());
                repeats = second.said().repeats();
            }
            booked = ledger.booked();
            doubled = ledger.doubled();
            violations = ledger.violations();
        } finally {
            servers.deleteTopic(some.topic());
        }
        faults.violations(ConsumerLineup.US, violations);
        faults.doubled(ConsumerLineup.US, doubled);
    }

    private static long booked(Ledger ledger) {
        try {
            return ledger.booked();
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Until it is so, or for so long that what is missing then is lost. */
    private static void await(BooleanSupplier condition) {
        long deadline = System.nanoTime() + Duration.ofSeconds(90).toNanos();
        while (!condition.getAsBoolean() && System.nanoTime() - deadline < 0) {
            LockSupport.parkNanos(Duration.ofMillis(50).toNanos());
        }
    }

    void print(Verdict verdict) {
        System.out.printf(
                "%nSIGKILL after a third of %,d events, then another JVM: %,d lost, %,d came again, %,d effects doubled, %,d out of order%n",
                events, events - booked, repeats, doubled, violations);
        verdict.put("consumer.kill.lost", Long.toString(events - booked));
        verdict.put("consumer.kill.redelivered", Long.toString(repeats));
    }
}
