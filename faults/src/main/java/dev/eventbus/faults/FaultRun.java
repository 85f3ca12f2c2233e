package dev.eventbus.faults;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.eventbus.faults.Options.Least;
import dev.eventbus.faults.check.Checker;
import dev.eventbus.faults.check.Ending;
import dev.eventbus.faults.check.Findings;
import dev.eventbus.faults.check.History;
import dev.eventbus.faults.check.Repeats;
import dev.eventbus.faults.check.Stalls;
import dev.eventbus.faults.check.Stalls.Window;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Predicate;
import org.apache.kafka.common.KafkaException;

/** Makes a run of faults and tells what came of it. Exit code 0 only if nothing was violated and all was seen. */
public final class FaultRun {

    private static final int WRONG_USAGE = 64;
    private static final int FAILED = 70;

    /** Lease, session time-out, one back-off, and what it takes to start a JVM or a broker on a busy machine. */
    private static final Duration RECOVERS_WITHIN =
            RelayMain.LEASE.plus(ConsumerMain.SESSION).plusSeconds(9);

    /** What a transaction of a relay that is gone holds up its readers for: its time-out, and how often brokers look. */
    private static final Duration ABORTS_WITHIN = RelayMain.LEASE.plusSeconds(10);

    private static final Duration STALLS_AT_MOST = Duration.ofSeconds(10);
    private static final Duration STARTS_WITHIN = Duration.ofSeconds(30);
    private static final Duration MADE_UP_WITHIN = Duration.ofMinutes(2);

    private final Options options;
    private final Servers servers;
    private final Fleet fleet;
    private final Damage damage;
    private final Path folder;
    private final List<Window> windows = new ArrayList<>();
    private final List<String> open = new ArrayList<>();
    private final Map<String, Object> counts = new LinkedHashMap<>();

    private FaultRun(Options options, Servers servers, Fleet fleet, Path folder) {
        this.damage = new Damage(servers, fleet);
        this.folder = folder;
        this.options = options;
        this.servers = servers;
        this.fleet = fleet;
    }

    /** @param arguments as {@link Options#USAGE} says */
    public static void main(String... arguments) {
        Options options;
        try {
            options = Options.parse(arguments);
        } catch (IllegalArgumentException e) {
            System.err.println(e.getMessage());
            System.exit(WRONG_USAGE);
            return;
        }
        try {
            System.exit(run(options).verdict().ordinal());
        } catch (Throwable e) { // threads of the run would keep the JVM alive
            e.printStackTrace();
            System.exit(FAILED);
        }
    }

    private static Report run(Options options) throws Exception {
        System.err.println("seed " + options.seed());
        long start = System.nanoTime();
        Path folder = Files.createDirectories(Path.of("faults/target/runs/" + System.currentTimeMillis()));
        try (Watchdog watchdog = Watchdog.start();
                Servers servers = Servers.start();
                Fleet fleet = new Fleet(servers, options, folder, watchdog)) {
            Runtime.getRuntime().addShutdownHook(new Thread(fleet::close, "kill-children"));
            Report report = new FaultRun(options, servers, fleet, folder).report(start);
            System.out.println(report.table());
            report.writeTo(options.out());
            report.writeTo(folder.resolve("faults.json"));
            if (!options.docs().isEmpty() && report.verdict() == Report.Verdict.PASSED) {
                ReliabilityPage.write(options.out(), Path.of(options.docs()));
            }
            return report;
        }
    }

    private Report report(long start) throws Exception {
        fleet.startAll();
        long began = System.currentTimeMillis();
        windows.add(new Window(0, began + STARTS_WITHIN.toMillis()));
        Sampler sampler = new Sampler(servers, this::ending);
        Attendant attendant = new Attendant(fleet, damage);
        CrashTour tour = new CrashTour(fleet);
        for (int i = 0; i < options.tours(); i++) {
            tour.go();
        }
        windows.add(recovering(new Window(began, System.currentTimeMillis())));
        tour.missed().forEach(point -> open.add("crash point not reached: " + point));
        Nemesis nemesis = new Nemesis(damage::carryOut);
        List<Schedule.Fault> scheduled =
                Schedule.of(options.seed(), options.faultsFor(), options.tier().gaps, seenWithin(options.isStrict()));
        long calm = System.nanoTime() + options.faultsFor().toNanos();
        nemesis.make(scheduled);
        TimeUnit.NANOSECONDS.sleep(calm - System.nanoTime());
        servers.healNetworks();
        nemesis.windows().forEach(window -> windows.add(recovering(window)));
        nemesis.troubles().forEach(trouble -> open.add("trouble of the harness: " + trouble));
        boolean allIsWell = nemesis.troubles().isEmpty();
        Growth growth = new Soak(fleet, new Witness(servers), folder).run(options.soaksFor());
        awaitEvents();
        open.addAll(growth.open());
        fleet.leave(Role.PUBLISHER, allIsWell);
        Duration published = Duration.ofMillis(System.currentTimeMillis() - began);
        Duration drained = drain();
        sampler.close();
        attendant.close();
        fleet.leave(Role.RELAY, allIsWell); // who still has something in hand writes it now, before the history is read
        fleet.leave(Role.CONSUMER, allIsWell);
        fleet.leave(Role.REDRIVER, allIsWell);
        History history = new Witness(servers).history();
        Findings findings = judge(history, sampler, tour, nemesis);
        findings.addAll(growth.findings());
        demandThatSomethingHappened(history, published, sampler, nemesis, scheduled.size(), tour);
        if (findings.total() > 0 || !open.isEmpty()) {
            new ObjectMapper().writeValue(folder.resolve("history.json").toFile(), history);
        }
        counts.put("drained after, ms", drained.toMillis());
        counts.put("looks", sampler.looks() + ", beside " + sampler.missedLooks() + " that failed");
        Map<String, Integer> made = FaultKind.counts(nemesis.made());
        Duration took = Duration.ofNanos(System.nanoTime() - start);
        return new Report(
                options, servers.describe(), took, counts, made, tour.reached(), growth.figures(), findings, open);
    }

    /** Faults cost a busy machine some load; it may be made up for without any, for a while. */
    private void awaitEvents() throws InterruptedException {
        Witness witness = new Witness(servers);
        long end = System.nanoTime() + MADE_UP_WITHIN.toNanos();
        while (System.nanoTime() - end < 0) {
            try {
                if (witness.events() >= options.least().events()) {
                    return;
                }
            } catch (SQLException e) { // then what is missing is told in the end
                System.err.println("events cannot be counted: " + e);
            }
            TimeUnit.SECONDS.sleep(1);
        }
    }

    /** A run in which little was done or broken says little. */
    private void demandThatSomethingHappened(
            History history, Duration published, Sampler sampler, Nemesis nemesis, int scheduled, CrashTour tour) {
        if (history.ledger().size() * 3L < options.rate() * published.toSeconds()) {
            open.add("only %d events in %s".formatted(history.ledger().size(), published));
        }
        if (history.effects().isEmpty() || history.letters().isEmpty()) {
            open.add("no effect, or no dead letter");
        }
        int made = faults(nemesis, kind -> true);
        if (made * 3 < scheduled) {
            open.add("only %d of %d faults were made".formatted(made, scheduled));
        }
        Least least = options.least();
        if (history.ledger().size() < least.events()) {
            open.add("only %d events, %d are wanted".formatted(history.ledger().size(), least.events()));
        }
        int hard = faults(nemesis, FaultKind::isHard) + tour.reached().size();
        counts.put("hard faults", hard);
        if (hard < least.hardFaults()) {
            open.add("only %d hard faults, %d are wanted".formatted(hard, least.hardFaults()));
        }
        if (options.asksForAllKinds()) {
            FaultKind.counts(nemesis.made()).forEach((kind, times) -> {
                if (times == 0 && (options.parks() || !kind.endsWith("-redriver"))) {
                    open.add("no fault of kind %s was made".formatted(kind));
                }
            });
        }
        if (sampler.looks() < 5) {
            open.add("the sampler saw all in %d looks only".formatted(sampler.looks()));
        }
        servers.withoutTraffic().forEach(proxy -> open.add("nothing went through the network to " + proxy));
    }

    private Window recovering(Window fault) {
        return fault.longerBy(recoversWithin(options.isStrict()));
    }

    private static Duration recoversWithin(boolean isStrict) {
        return isStrict ? RECOVERS_WITHIN.plus(ABORTS_WITHIN) : RECOVERS_WITHIN;
    }

    /** A key that is stuck after the last fault of a turn is seen before the first of the next. */
    static Duration seenWithin(boolean isStrict) {
        return recoversWithin(isStrict).plus(STALLS_AT_MOST).plusSeconds(2);
    }

    /** Waits until nothing is left to be done. Returns how long it took. */
    private Duration drain() throws InterruptedException {
        Witness witness = new Witness(servers);
        long start = System.nanoTime();
        String rest = "not seen";
        while (System.nanoTime() - start < options.drainsWithin().toNanos()) {
            try {
                rest = witness.rest();
                if (rest.isEmpty()) {
                    return Duration.ofNanos(System.nanoTime() - start);
                }
            } catch (SQLException | KafkaException | ExecutionException | TimeoutException e) {
                rest = e.toString();
            }
            TimeUnit.MILLISECONDS.sleep(500);
        }
        open.add("not drained within %d s: %s".formatted(options.drainsWithin().toSeconds(), rest));
        diagnose(witness);
        return options.drainsWithin();
    }

    /** What holds it up: thread dumps go to the logs of the processes, and the database's sessions beside them. */
    private void diagnose(Witness witness) throws InterruptedException {
        fleet.dumpThreads();
        try {
            Files.write(folder.resolve("sessions.txt"), witness.sessions());
        } catch (SQLException | IOException e) {
            open.add("sessions cannot be told: " + e);
        }
        TimeUnit.SECONDS.sleep(2); // a dump takes a moment
    }

    private Findings judge(History history, Sampler sampler, CrashTour tour, Nemesis nemesis) {
        Findings findings = new Checker(history, this::ending).check();
        findings.addAll(sampler.findings());
        int halting = (int) history.ledger().stream()
                .filter(written -> Fate.of(written.id()) == Fate.HALTS)
                .count();
        findings.addAll(fleet.findings(halting));
        Stalls stalls = new Stalls(history);
        findings.addAll(stalls.judge(STALLS_AT_MOST, windows));
        int faults = faults(nemesis, kind -> true) + tour.reached().size();
        Repeats repeats = new Repeats(history);
        findings.addAll(repeats.judge(
                faults(nemesis, FaultKind::reachesRelays) + tour.reachedBy(Role.RELAY),
                faults(nemesis, FaultKind::reachesConsumers) + tour.reachedBy(Role.CONSUMER),
                STALLS_AT_MOST,
                windows));
        if (!history.drained() && open.isEmpty()) {
            open.add("not drained");
        }
        counts.put("events", history.ledger().size());
        counts.put("records", history.topic().size());
        counts.put("effects", history.effects().size());
        counts.put("dead letters", history.letters().size());
        counts.put("events that end the process", halting);
        counts.put("processes that they ended", fleet.endedByEvents());
        counts.put("faults", faults);
        counts.put("repeats", repeats.ofRecords());
        counts.put("repeats a fault", faults == 0 ? 0 : (double) Math.round(10.0 * repeats.ofRecords() / faults) / 10);
        counts.put("repeated dead letters", repeats.ofLetters());
        stalls.worst().ifPresent(worst -> {
            counts.put("worst stall, ms", worst.length().toMillis());
            counts.put("worst stall of", "%s until %tT".formatted(worst.key(), worst.at()));
        });
        return findings;
    }

    private Ending ending(String eventId) {
        return Fate.ending(eventId, options.parks());
    }

    private static int faults(Nemesis nemesis, Predicate<FaultKind> which) {
        return nemesis.made().entrySet().stream()
                .filter(made -> which.test(made.getKey()))
                .mapToInt(Map.Entry::getValue)
                .sum();
    }
}
