package dev.eventbus.testkit;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.function.BooleanSupplier;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Drives runners and relays in rounds, one pass each in the order in which they were started. When a round did nothing, the clock
 * jumps to what is due next. Used by one thread at a time.
 *
 * <p>With a seed chance decides who makes a pass in a round, and in which order; a round in which nobody did anything is followed by one of all,
 * so that nobody is passed over for ever.
 */
final class VirtualLoop {

    static final int MAX_ROUNDS = 100_000;
    static final Duration MAX_TIME = Duration.ofDays(365);

    private static final int MAX_RECORDS_TOLD = 10;

    /** @param process null if it cannot die */
    private record Started(Driven driven, Crashes.@Nullable SimulatedProcess process) {

        boolean isDead() {
            return process != null && process.isDead();
        }

        /** They are one service: all of it ends. */
        void diesWith(Crashes.SimulatedProcess crashed) {
            if (process != null && !process.isDead()) {
                process.dieWith(crashed);
            }
        }
    }

    private enum End {
        REACHED,
        AT_REST,
        TIME_IS_UP
    }

    private final VirtualClock clock;
    private final InMemoryBroker broker;
    private final List<Started> all = new ArrayList<>();
    private final @Nullable Long seed;
    private final Random chance;
    private @Nullable Runnable afterCrash;
    private int added;

    /** @param seed null for passes in the order of starting */
    VirtualLoop(VirtualClock clock, InMemoryBroker broker, @Nullable Long seed) {
        this.clock = clock;
        this.broker = broker;
        this.seed = seed;
        this.chance = new Random(seed == null ? 0 : seed);
    }

    /** Takes something that is named by its number. */
    void add(IntFunction<Driven> numbered) {
        all.add(new Started(numbered.apply(++added), null));
    }

    /** As {@link #add}, what can crash. */
    void addMortal(IntFunction<Driven> numbered) {
        all.add(new Started(numbered.apply(++added), new Crashes.SimulatedProcess()));
    }

    /** From now on a crash ends all that can, and then does this. */
    void afterCrash(Runnable then) {
        afterCrash = then;
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
        run(() -> false, then, true);
        clock.advanceTo(then);
    }

    /** Closes all in the order in which they were started; the first failure comes out when all were tried. */
    void close() {
        RuntimeException failure = null;
        for (Started started : all) {
            try {
                started.driven().close();
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
        return run(condition, until, false);
    }

    /** @param bounded whether time itself bounds the rounds, so that only those without any passing are counted */
    private End run(BooleanSupplier condition, Instant until, boolean bounded) {
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
            round = bounded && due.isAfter(clock.instant()) ? 0 : round;
            clock.advanceTo(due);
        }
        throw stuck("after %,d rounds there is still something to do".formatted(MAX_ROUNDS));
    }

    private Instant inAYear() {
        return clock.instant().plus(MAX_TIME);
    }

    /** A round; whether anybody did something, or may have something to do now. */
    private boolean pass() {
        all.removeIf(started -> started.driven().isClosed());
        List<Started> round = new ArrayList<>(all); // a handler may start something
        if (seed == null) {
            return pass(round);
        }
        Collections.shuffle(round, chance);
        List<Started> some = round.stream().filter(any -> chance.nextBoolean()).toList();
        return pass(some) || pass(round);
    }

    private boolean pass(List<Started> round) {
        long before = broker.activity();
        int done = 0;
        for (Started started : round) {
            done += started.isDead() ? 0 : pass(started);
        }
        return done > 0 || broker.activity() != before;
    }

    private int pass(Started started) {
        Crashes crashes = broker.crashes();
        crashes.run(started.process());
        int done;
        try {
            done = started.driven().runOnce();
        } catch (Crashes.Crash e) {
            done = 1; // the engine need not have caught it
        } finally {
            crashes.run(null);
        }
        Crashes.SimulatedProcess process = started.process();
        if (process == null || !process.isDead()) {
            return done;
        }
        if (afterCrash != null) {
            all.forEach(other -> other.diesWith(process));
        }
        all.removeIf(Started::isDead);
        if (afterCrash != null) {
            afterCrash.run();
        }
        return 1;
    }

    private @Nullable Instant nextDue() {
        return all.stream()
                .map(started -> started.driven().nextDue())
                .filter(Objects::nonNull)
                .min(Comparator.naturalOrder())
                .orElse(null);
    }

    private AssertionError stuck(String what) {
        List<String> lines = new ArrayList<>();
        lines.add("%s%s. It is %s. This is who waits for what:"
                .formatted(seed == null ? "" : "seed %d: ".formatted(seed), what, clock.instant()));
        all.forEach(started -> lines.add(started.driven().describe()));
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
