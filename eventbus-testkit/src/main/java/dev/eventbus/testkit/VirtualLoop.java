package dev.eventbus.testkit;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.function.BooleanSupplier;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Drives runners and relays in rounds, one pass each in the order in which they were started. When a round did nothing, the clock
 * jumps to what is due next. Used by one thread at a time.
 */
final class VirtualLoop {

    static final int MAX_ROUNDS = 100_000;
    static final Duration MAX_TIME = Duration.ofDays(365);

    private static final int MAX_RECORDS_TOLD = 10;

    private enum End {
        REACHED,
        AT_REST,
        TIME_IS_UP
    }

    private final VirtualClock clock;
    private final InMemoryBroker broker;
    private final List<Driven> all = new ArrayList<>();
    private int added;

    VirtualLoop(VirtualClock clock, InMemoryBroker broker) {
        this.clock = clock;
        this.broker = broker;
    }

    /** Takes something that is named by its number. */
    void add(IntFunction<Driven> numbered) {
        all.add(numbered.apply(++added));
    }

    /** Runs until nothing is to do and nothing waits. */
    void runUntilIdle() {
        if (run(() -> false, inAYear()) == End.TIME_IS_UP) {
            throw stuck("after %d days of virtual time something still waits".formatted(MAX_TIME.toDays()));
        }
    }

    /** Runs until a condition holds; fails if everything comes to rest before. */
    void runUntil(String what, BooleanSupplier condition) {
        End end = run(condition, inAYear());
        if (end != End.REACHED) {
            throw stuck("%s, but not: %s"
                    .formatted(
                            end == End.AT_REST
                                    ? "everything is at rest"
                                    : "%d days of virtual time have passed".formatted(MAX_TIME.toDays()),
                            what));
        }
    }

    /** Runs what is due until then, each at its time; then it is then. */
    void runFor(Duration duration) {
        Instant then = clock.instant().plus(duration);
        run(() -> false, then);
        clock.advanceTo(then);
    }

    /** Closes all in the order in which they were started; the first failure comes out when all were tried. */
    void close() {
        RuntimeException failure = null;
        for (Driven driven : all) {
            try {
                driven.close();
            } catch (RuntimeException e) {
                if (failure == null) {
                    failure = e;
                } else {
                    failure.addSuppressed(e);
                }
            }
        }
        all.clear();
        if (failure != null) {
            throw failure;
        }
    }

    private End run(BooleanSupplier condition, Instant until) {
        for (int round = 0; round < MAX_ROUNDS; round++) {
            if (condition.getAsBoolean()) {
                return End.REACHED;
            }
            if (pass()) {
                continue;
            }
            Instant due = nextDue();
            if (due == null) {
                return End.AT_REST;
            }
            if (due.isAfter(until)) {
                return End.TIME_IS_UP;
            }
            clock.advanceTo(due);
        }
        throw stuck("after %,d rounds there is still something to do".formatted(MAX_ROUNDS));
    }

    private Instant inAYear() {
        return clock.instant().plus(MAX_TIME);
    }

    /** One pass of each; whether any of them did something, or may have something to do now. */
    private boolean pass() {
        long before = broker.activity();
        all.removeIf(Driven::isClosed);
        int done = 0;
        for (Driven driven : all) {
            done += driven.runOnce();
        }
        return done > 0 || broker.activity() != before;
    }

    private @Nullable Instant nextDue() {
        return all.stream()
                .map(Driven::nextDue)
                .filter(Objects::nonNull)
                .min(Comparator.naturalOrder())
                .orElse(null);
    }

    private AssertionError stuck(String what) {
        List<String> lines = new ArrayList<>();
        lines.add("%s. It is %s. This is who waits for what:".formatted(what, clock.instant()));
        all.forEach(driven -> lines.add(driven.describe()));
        broker.backlogs().forEach(backlog -> lines.add(describe(backlog)));
        if (all.isEmpty()) {
            lines.add("nothing was started, or all of it is closed");
        }
        return new AssertionError(String.join(System.lineSeparator(), lines));
    }

    /** Keys never reach a message; their hash tells which records wait for one another. */
    private static String describe(InMemoryBroker.Backlog backlog) {
        return backlog.records().stream()
                .limit(MAX_RECORDS_TOLD)
                .map(record -> "offset %d key #%s"
                        .formatted(
                                record.offset(),
                                record.key() == null ? "none" : Integer.toHexString(Arrays.hashCode(record.key()))))
                .collect(Collectors.joining(
                        ", ",
                        "group %s has %d records of %s open: "
                                .formatted(backlog.group(), backlog.records().size(), backlog.partition()),
                        backlog.records().size() > MAX_RECORDS_TOLD ? ", ..." : ""));
    }
}
