package dev.eventbus.faults;

import dev.eventbus.faults.Schedule.Fault;
import dev.eventbus.faults.check.Stalls.Window;
import dev.eventbus.faults.crash.Signals;
import dev.eventbus.faults.wire.KafkaWire;
import dev.eventbus.faults.wire.KafkaWire.Fate;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.faults.wire.LoopbackProxy.Way;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.apache.kafka.common.protocol.ApiKeys;

/** Makes the faults of a {@link Schedule}, each on a thread of its own, and ends them. */
final class Nemesis {

    private static final int AT_ONCE = 12;
    private static final Duration ENDS_WITHIN = Duration.ofSeconds(150);
    private static final Duration DATABASE_STOPS_WITHIN = Duration.ofSeconds(20);

    /** Something that happened to the harness itself, not to what is tested. */
    private final List<String> troubles = Collections.synchronizedList(new ArrayList<>());

    /** What is hit now: some faults last longer than planned, since a server takes its time to start. */
    private final Set<String> hit = ConcurrentHashMap.newKeySet();

    private final List<Window> windows = Collections.synchronizedList(new ArrayList<>());
    private final Map<FaultKind, Integer> made = Collections.synchronizedMap(new EnumMap<>(FaultKind.class));
    private final AtomicInteger produceRepliesLost = new AtomicInteger();
    private final Servers servers;
    private final Fleet fleet;

    Nemesis(Servers servers, Fleet fleet) {
        this.servers = servers;
        this.fleet = fleet;
    }

    /** Makes all of them and returns when the last is over. */
    void make(List<Fault> faults) throws InterruptedException {
        ScheduledExecutorService threads = Executors.newScheduledThreadPool(AT_ONCE);
        for (Fault fault : faults) {
            var unused = threads.schedule(() -> make(fault), fault.atMillis(), TimeUnit.MILLISECONDS);
        }
        threads.shutdown(); // what is scheduled still runs
        long last = faults.stream()
                .mapToLong(fault -> fault.atMillis() + fault.forMillis())
                .max()
                .orElse(0);
        if (!threads.awaitTermination(last + ENDS_WITHIN.toMillis(), TimeUnit.MILLISECONDS)) {
            troubles.add("faults did not end: " + threads.shutdownNow());
        }
    }

    private void make(Fault fault) {
        String target = fault.kind().on + " " + fault.target();
        if (!hit.add(target)) {
            return; // what it is to hit has not recovered from the last one
        }
        try {
            makeNow(fault);
        } finally {
            hit.remove(target);
        }
    }

    private void makeNow(Fault fault) {
        long from = System.currentTimeMillis();
        System.err.printf("%tT.%<tL %s %d for %d ms%n", from, fault.kind().code(), fault.target(), fault.forMillis());
        try {
            int lostBefore = answersLost(fault.kind());
            carryOut(fault);
            if (!fault.kind().losesAnswers() || answersLost(fault.kind()) > lostBefore) {
                made.merge(fault.kind(), 1, Integer::sum);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (Exception e) { // a fault that cannot be made must not end the others
            String trouble = fault + ": " + e.toString().lines().findFirst().orElse("");
            troubles.add(trouble);
            System.err.println(trouble);
        }
        windows.add(new Window(from, System.currentTimeMillis()));
    }

    /** By faults of this kind, so far. */
    private int answersLost(FaultKind kind) {
        return switch (kind) {
            case DROP_PRODUCE_REPLIES -> produceRepliesLost.get();
            case DROP_OFFSET_COMMIT_REPLIES ->
                servers.wires().stream().mapToInt(KafkaWire::repliesLost).sum();
            default ->
                Stream.of(Role.values())
                        .mapToInt(role -> servers.toDatabase(role).wire().lost())
                        .sum();
        };
    }

    private void carryOut(Fault fault) throws Exception {
        switch (fault.kind().on) {
            case PUBLISHER -> process(fault, fleet.instance(Role.PUBLISHER, fault.target()));
            case RELAY -> process(fault, fleet.instance(Role.RELAY, fault.target()));
            case CONSUMER -> process(fault, fleet.instance(Role.CONSUMER, fault.target()));
            case DATABASE -> database(fault);
            case BROKERS -> broker(fault, 1 + fault.dice() % Servers.BROKERS);
            case NETWORK_TO_BROKER -> networkToBroker(fault, 1 + fault.target());
            case NETWORK_TO_DATABASE -> networkToDatabase(fault, Role.values()[fault.target()]);
        }
    }

    private void process(Fault fault, Fleet.Instance instance) throws Exception {
        switch (fault.kind()) {
            case KILL_PUBLISHER, KILL_RELAY, KILL_CONSUMER -> {
                instance.kill();
                pause(fault.forMillis());
                instance.start();
            }
            case RELAY_LEAVES, CONSUMER_LEAVES -> {
                instance.leave();
                pause(fault.forMillis());
                instance.start();
            }
            case HANDLER_OUTAGE -> {
                for (Fleet.Instance consumer : fleet.instances(Role.CONSUMER)) {
                    consumer.tell(ConsumerMain.OUTAGE + fault.forMillis());
                }
                pause(fault.forMillis());
            }
            default -> lasting(fault, instance.child()::freeze, instance.child()::thaw);
        }
    }

    private void terminateSessions(int percent) throws Exception {
        try (Connection connection = servers.connect();
                PreparedStatement terminate = connection.prepareStatement(WorkloadSql.terminateSessions())) {
            terminate.setString(1, "postgres");
            terminate.setInt(2, Math.max(10, percent));
            terminate.execute();
        }
    }

    private void database(Fault fault) throws Exception {
        switch (fault.kind()) {
            case TERMINATE_SESSIONS -> terminateSessions(fault.dice());
            case FREEZE_DATABASE -> lasting(fault, servers.postgres()::pause, servers.postgres()::resume);
            default -> stopDatabase(fault);
        }
    }

    private void stopDatabase(Fault fault) throws Exception {
        if (fault.dice() % 2 == 0) {
            Signals.send("QUIT", servers.postgres().pid()); // as pg_ctl stop -m immediate
            await(DATABASE_STOPS_WITHIN, () -> !servers.postgres().isAlive());
        } else {
            servers.postgres().kill();
        }
        pause(fault.forMillis());
        servers.postgres().restart();
    }

    private void broker(Fault fault, int node) throws Exception {
        if (fault.kind() == FaultKind.FREEZE_BROKER) {
            lasting(
                    fault,
                    () -> servers.kafka().pause(node),
                    () -> servers.kafka().resume(node));
        } else {
            lasting(
                    fault,
                    () -> servers.kafka().kill(node),
                    () -> servers.kafka().start(node));
        }
    }

    private void networkToBroker(Fault fault, int node) throws Exception {
        var network = servers.toBroker(node);
        switch (fault.kind()) {
            case DROP_PRODUCE_REPLIES -> {
                KafkaWire.Rule rule = network.wire()
                        .when(batch -> true, fault.dice() % 3 == 0 ? Fate.replyNeverComes() : Fate.replyLost())
                        .times(1 + fault.dice() % 4);
                lasting(fault, () -> {}, network.wire()::forgetRules);
                produceRepliesLost.addAndGet(rule.hits());
            }
            case DROP_OFFSET_COMMIT_REPLIES -> // only the group's coordinator gets any
                lasting(
                        fault,
                        () -> servers.wires()
                                .forEach(wire -> wire.loseReplies(ApiKeys.OFFSET_COMMIT, 1 + fault.dice() % 4)),
                        () -> servers.wires().forEach(wire -> wire.loseReplies(ApiKeys.OFFSET_COMMIT, 0)));
            default -> network(fault, network.proxy());
        }
    }

    private void networkToDatabase(Fault fault, Role of) throws Exception {
        boolean commits = fault.kind() == FaultKind.SWALLOW_COMMIT || fault.kind() == FaultKind.SWALLOW_COMMIT_ANSWER;
        Role role = commits && of == Role.RELAY ? Role.PUBLISHER : of; // a relay's statements commit by themselves
        var network = servers.toDatabase(role);
        int times = 1 + fault.dice() % 4;
        switch (fault.kind()) {
            case SWALLOW_COMMIT_ANSWER ->
                lasting(
                        fault,
                        () -> network.wire().loseAnswerOfCommit(times),
                        () -> network.wire().loseAnswerOfCommit(0));
            case SWALLOW_COMMIT ->
                lasting(
                        fault,
                        () -> network.wire().loseCommit(times),
                        () -> network.wire().loseCommit(0));
            default -> network(fault, network.proxy());
        }
    }

    private static void network(Fault fault, LoopbackProxy proxy) throws Exception {
        Way way = fault.dice() % 2 == 0 ? Way.TO_SERVER : Way.TO_CLIENT;
        Runnable begin = switch (fault.kind()) {
            case PART_BROKER, PART_DATABASE -> fault.dice() % 3 == 0 ? proxy::refuse : proxy::blackHole;
            case PART_BROKER_ONE_WAY, PART_DATABASE_ONE_WAY -> () -> proxy.blackHole(way);
            default -> () -> proxy.latency(Duration.ofMillis(20 + fault.dice()));
        };
        lasting(fault, begin, proxy::heal);
    }

    /** Ends what it began also if it is interrupted meanwhile. */
    private static void lasting(Fault fault, Runnable begin, Runnable end) throws InterruptedException {
        begin.run();
        try {
            pause(fault.forMillis());
        } finally {
            end.run();
        }
    }

    private static void pause(long millis) throws InterruptedException {
        TimeUnit.MILLISECONDS.sleep(millis);
    }

    private static void await(Duration atMost, Callable<Boolean> condition) throws Exception {
        long start = System.nanoTime();
        while (!condition.call()) {
            if (System.nanoTime() - start > atMost.toNanos()) {
                throw new IllegalStateException("did not happen within " + atMost);
            }
            LockSupport.parkNanos(10_000_000);
        }
    }

    List<String> troubles() {
        return List.copyOf(troubles);
    }

    List<Window> windows() {
        return List.copyOf(windows);
    }

    /** How many faults of each kind were made. */
    Map<FaultKind, Integer> made() {
        return Map.copyOf(made);
    }
}
