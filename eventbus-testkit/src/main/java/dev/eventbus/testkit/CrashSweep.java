package dev.eventbus.testkit;

import dev.eventbus.testkit.guarantees.Violation;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs a scenario of the user's once without a crash, and then once for each time that it came to a {@link CrashPoint}, with the
 * service ending there and started again. Each of these must come to the state of the first.
 *
 * <pre>{@code
 * List<CrashSweep.Crash> crashes = CrashSweep.run(BookingScenario::new);
 * assertThat(crashes).extracting(CrashSweep.Crash::point).contains(CrashPoint.values());
 * }</pre>
 *
 * <p>In virtual time, in the calling thread. A scenario of ten events with an inbox is run some fifty times.
 *
 * <p>A back-off with chance in it, as the default has, lets events end in another order in each run, so that a run may not come to its
 * point. It is held to the state of the first all the same and made again, up to ten times; a crash that none of them comes to is not
 * tried, and a line of the log says so.
 */
public final class CrashSweep {

    private static final Logger LOG = LoggerFactory.getLogger(CrashSweep.class);

    private static final int MAX_RUNS = 10;

    private static final String NOT_THE_SAME =
            "did not come there: a scenario must do the same in every run, up to its crash";

    /**
     * What a service does, from an empty world to its end. Each run is given a new one, with a database of its own.
     *
     * <pre>{@code
     * final class BookingScenario implements CrashSweep.Scenario {
     *     public void start(FakeEventBus bus) {
     *         bus.start(Bookings.runner(bus.kafka(), JdbcInbox.h2(bus.faults().dataSource(database))));
     *     }
     *     public void run(FakeEventBus bus) { bus.publish(BOOKED, booking("bob", 1), booking("bob", 2)); }
     *     public Object state(FakeEventBus bus) { return rowsOf("bookings"); }
     * }
     * }</pre>
     */
    public interface Scenario extends AutoCloseable {

        /** Builds the service's runners and starts them on the bus: at the beginning, and again after the crash, which ends all of them. */
        void start(FakeEventBus bus) throws Exception;

        /**
         * What happens: events, faults, time. Called once; at its end the sweep runs the bus until it is idle. A relay is started
         * here, since relays do not crash.
         */
        void run(FakeEventBus bus) throws Exception;

        /**
         * What must be the same with a crash as without one, such as the rows that handlers have written; has a meaningful {@code
         * equals} and {@code toString}. What happens at least once is told as a set.
         */
        Object state(FakeEventBus bus) throws Exception;

        /** What is wrong with this run beyond its state, as a {@link dev.eventbus.testkit.guarantees.History} tells; nothing by default. */
        default List<Violation> violations() throws Exception {
            return List.of();
        }

        @Override
        default void close() throws Exception {}
    }

    /**
     * Where a run has crashed.
     *
     * @param nth of the times that the run without a crash came there, from 1
     */
    public record Crash(CrashPoint point, int nth) {

        @Override
        public String toString() {
            return "%s %d".formatted(point, nth);
        }
    }

    /** What came of one run. */
    private record Outcome(
            boolean crashed, Object state, List<Violation> violations, Map<CrashPoint, Integer> reached) {}

    /** Starts the service again. Used by the thread of the bus. */
    private static final class Restarts implements Runnable {

        private final Scenario scenario;
        private final FakeEventBus bus;
        private int count;
        private @Nullable Exception failure;

        Restarts(Scenario scenario, FakeEventBus bus) {
            this.scenario = scenario;
            this.bus = bus;
        }

        @Override
        public void run() {
            count++;
            try {
                scenario.start(bus);
            } catch (Exception e) {
                failure = e;
            }
        }

        /** Whether there was a crash to start again after. */
        boolean happened() throws Exception {
            if (failure != null) {
                throw failure;
            }
            return count > 0;
        }
    }

    private CrashSweep() {}

    /**
     * Runs the scenario once without a crash and once for each crash.
     *
     * @param scenario makes a new one for each run; the sweep closes it
     * @return the crashes that were tried, in the order of the points; without those that no run came to
     * @throws AssertionError if a run has violations, ends in another state than the one without a crash, or does not end; each is
     *     told with its crash. Also if no point was reached, so that nothing was tried, or if a point that the first run came to was
     *     never reached again
     * @throws Exception what the run without a crash throws
     */
    public static List<Crash> run(Callable<? extends Scenario> scenario) throws Exception {
        Outcome calm = play(scenario, null);
        List<String> wrong = new ArrayList<>();
        calm.violations().forEach(violation -> wrong.add("without a crash: " + violation));
        List<Crash> crashes = new ArrayList<>();
        List<Crash> missed = new ArrayList<>();
        for (CrashPoint point : CrashPoint.values()) {
            for (int nth = 1; nth <= calm.reached().getOrDefault(point, 0); nth++) {
                Crash crash = new Crash(point, nth);
                Optional<List<String>> faults = faultsOf(scenario, crash, calm.state());
                (faults.isPresent() ? crashes : missed).add(crash);
                faults.orElse(List.of()).forEach(fault -> wrong.add(crash + ": " + fault));
            }
        }
        if (!missed.isEmpty()) {
            LOG.warn(
                    "not tried: {}. None of {} runs came there, as when a random back-off decides which event ends first",
                    missed,
                    MAX_RUNS);
        }
        if (crashes.isEmpty()) {
            throw new AssertionError(
                    "the scenario came to no crash point: start its runners on the bus, and build their inbox on bus.faults().dataSource(...)");
        }
        if (!wrong.isEmpty()) {
            throw new AssertionError("%d of %d crashes did not end as it does without a crash:%n%s"
                    .formatted(
                            wrong.stream()
                                    .map(fault -> fault.split(":", 2)[0])
                                    .distinct()
                                    .count(),
                            crashes.size(),
                            String.join(System.lineSeparator(), wrong)));
        }
        return crashes;
    }

    /** Empty if no run comes there. */
    private static Optional<List<String>> faultsOf(Callable<? extends Scenario> scenario, Crash crash, Object calm) {
        for (int run = 0; run < MAX_RUNS; run++) {
            try {
                Outcome outcome = play(scenario, crash);
                List<String> faults = faultsOf(outcome, calm);
                if (outcome.crashed() || !faults.isEmpty()) {
                    return Optional.of(faults);
                }
            } catch (Exception | AssertionError e) {
                return Optional.of(List.of("it ended with " + e));
            }
        }
        return crash.nth() > 1
                ? Optional.empty()
                : Optional.of(List.of("%d runs %s".formatted(MAX_RUNS, NOT_THE_SAME)));
    }

    private static List<String> faultsOf(Outcome outcome, Object calm) {
        List<String> faults = new ArrayList<>();
        outcome.violations().forEach(violation -> faults.add(violation.toString()));
        if (!Objects.equals(outcome.state(), calm)) {
            faults.add("it ended as %s, without a crash as %s".formatted(outcome.state(), calm));
        }
        if (!outcome.crashed() && !faults.isEmpty()) {
            faults.add("this run " + NOT_THE_SAME);
        }
        return faults;
    }

    private static Outcome play(Callable<? extends Scenario> scenario, @Nullable Crash crash) throws Exception {
        try (Scenario played = scenario.call();
                FakeEventBus bus = FakeEventBus.create()) {
            played.start(bus);
            Restarts restarts = new Restarts(played, bus);
            bus.afterCrash(restarts);
            if (crash != null) {
                bus.faults().crashAt(crash.point(), crash.nth());
            }
            played.run(bus);
            bus.runUntilIdle();
            boolean crashed = restarts.happened();
            if (crash != null && !crashed) {
                bus.forgetCrash();
            }
            Map<CrashPoint, Integer> reached = new EnumMap<>(CrashPoint.class);
            for (CrashPoint point : CrashPoint.values()) {
                reached.put(point, bus.reached(point));
            }
            return new Outcome(crashed, played.state(bus), played.violations(), reached);
        }
    }
}
