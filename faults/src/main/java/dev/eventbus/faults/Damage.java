package dev.eventbus.faults;

import dev.eventbus.faults.Schedule.Fault;
import dev.eventbus.faults.Servers.Network;
import dev.eventbus.faults.crash.Signals;
import dev.eventbus.faults.wire.KafkaWire;
import dev.eventbus.faults.wire.KafkaWire.Fate;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.faults.wire.LoopbackProxy.Way;
import dev.eventbus.faults.wire.PostgresWire;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.common.protocol.ApiKeys;

/** What a {@link Nemesis} does to processes, servers and networks. Thread-safe, as long as no two faults hit the same. */
final class Damage {

    private static final Duration DATABASE_STOPS_WITHIN = Duration.ofSeconds(20);

    private final Servers servers;
    private final Fleet fleet;
    private final BrokerDamage brokers;
    private final ClusterDamage cluster;
    private final EventDamage events;

    Damage(Servers servers, Fleet fleet) {
        this.servers = servers;
        this.fleet = fleet;
        this.brokers = new BrokerDamage(servers);
        this.cluster = new ClusterDamage(servers);
        this.events = new EventDamage(servers, fleet);
    }

    private record Database(Servers servers) implements Comeback.Server {

        @Override
        public boolean isAlive() {
            return servers.postgres().isAlive();
        }

        @Override
        public void start() {
            servers.postgres().restart();
        }

        @Override
        public boolean answers() {
            try (Connection connection = servers.connect()) {
                return connection.isValid(1);
            } catch (SQLException e) {
                return false;
            }
        }
    }

    /** As a person does who hears of keys that wait since a record was too large. */
    void unblock() throws SQLException {
        cluster.unblock();
    }

    /** Makes a fault and ends it. Returns whether it has met anybody: answers can be lost only while somebody asks. */
    boolean carryOut(Fault fault) throws Exception {
        switch (fault.kind().on) {
            case PUBLISHER -> {
                return process(fault, fleet.instance(Role.PUBLISHER, fault.target()));
            }
            case RELAY -> {
                return process(fault, fleet.instance(Role.RELAY, fault.target()));
            }
            case CONSUMER -> {
                return process(fault, fleet.instance(Role.CONSUMER, fault.target()));
            }
            case REDRIVER -> {
                return fleet.has(Role.REDRIVER) && process(fault, fleet.instance(Role.REDRIVER, fault.target()));
            }
            case EVENT -> {
                return events.haltHandlers(fault);
            }
            case BROKERS -> {
                return brokers.carryOut(fault);
            }
            case TOPIC -> {
                return cluster.lowerLimit(fault);
            }
            case ACLS -> {
                return cluster.revoke(fault);
            }
            case DATABASE -> {
                return database(fault);
            }
            case NETWORK_TO_BROKER -> {
                return networkToBroker(fault, servers.toBroker(1 + fault.target()));
            }
            case OFFSET_COMMITS -> {
                return dropOffsetCommitReplies(fault);
            }
            case NETWORK_TO_DATABASE -> {
                return networkToDatabase(fault, servers.toDatabase(Role.values()[fault.target()]));
            }
        }
        throw new IllegalArgumentException("nothing is done to " + fault.kind().on);
    }

    private boolean process(Fault fault, Fleet.Instance instance) throws Exception {
        switch (fault.kind()) {
            case KILL_PUBLISHER, KILL_RELAY, KILL_CONSUMER, KILL_REDRIVER -> {
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
            case HEAL_AFTER_LETTER -> {
                return events.healAfterLetter(fault, instance);
            }
            default -> {
                return freeze(fault, instance.child());
            }
        }
        return true;
    }

    /** Returns whether it was there: an event may have ended it, and nobody has started it again yet. */
    private static boolean freeze(Fault fault, Child child) throws InterruptedException {
        if (!child.freezes()) {
            return false;
        }
        lasting(fault, () -> {}, child::thaw);
        return true;
    }

    private void terminateSessions(int percent) throws SQLException {
        try (Connection connection = servers.connect();
                PreparedStatement terminate = connection.prepareStatement(WorkloadSql.terminateSessions())) {
            terminate.setString(1, "postgres");
            terminate.setInt(2, Math.max(10, percent));
            terminate.execute();
        }
    }

    /** Returns whether there was a session, and the server that ends all others then serves again. */
    private boolean killBackend() throws Exception {
        try (Connection connection = servers.connect();
                PreparedStatement any = connection.prepareStatement(WorkloadSql.anyBackend())) {
            any.setString(1, "postgres");
            try (ResultSet row = any.executeQuery()) {
                boolean killed = row.next()
                        && ProcessHandle.of(row.getLong(1))
                                .map(ProcessHandle::destroyForcibly)
                                .orElse(false);
                if (!killed) { // there is none, or it has just ended
                    return false;
                }
            }
            await(DATABASE_STOPS_WITHIN, () -> !connection.isValid(1));
        }
        Comeback.of("the database", new Database(servers), Comeback.WITHIN);
        return true;
    }

    private boolean database(Fault fault) throws Exception {
        switch (fault.kind()) {
            case TERMINATE_SESSIONS -> terminateSessions(fault.dice());
            case KILL_BACKEND -> {
                return killBackend();
            }
            case FREEZE_DATABASE -> lasting(fault, servers.postgres()::pause, servers.postgres()::resume);
            default -> stopDatabase(fault);
        }
        return true;
    }

    private void stopDatabase(Fault fault) throws Exception {
        if (fault.dice() % 2 == 0) {
            Signals.send("QUIT", servers.postgres().pid()); // as pg_ctl stop -m immediate
            await(DATABASE_STOPS_WITHIN, () -> !servers.postgres().isAlive());
        } else {
            servers.postgres().kill();
        }
        pause(fault.forMillis());
        Comeback.of("the database", new Database(servers), Comeback.WITHIN);
    }

    private static boolean networkToBroker(Fault fault, Network<KafkaWire> network) throws InterruptedException {
        if (fault.kind() != FaultKind.DROP_PRODUCE_REPLIES) {
            network(fault, network.proxy());
            return true;
        }
        KafkaWire.Rule rule = network.wire()
                .when(batch -> true, fault.dice() % 3 == 0 ? Fate.replyNeverComes() : Fate.replyLost())
                .times(1 + fault.dice() % 4);
        lasting(fault, () -> {}, () -> rule.times(0));
        return rule.hits() > 0;
    }

    /** Of all brokers, since only the group's coordinator gets any. */
    private boolean dropOffsetCommitReplies(Fault fault) throws InterruptedException {
        int before = offsetRepliesLost();
        int times = 1 + fault.dice() % 4;
        lasting(
                fault,
                () -> servers.wires().forEach(wire -> wire.loseReplies(ApiKeys.OFFSET_COMMIT, times)),
                () -> servers.wires().forEach(wire -> wire.loseReplies(ApiKeys.OFFSET_COMMIT, 0)));
        return offsetRepliesLost() > before;
    }

    private int offsetRepliesLost() {
        return servers.wires().stream().mapToInt(KafkaWire::repliesLost).sum();
    }

    private static boolean networkToDatabase(Fault fault, Network<PostgresWire> network) throws InterruptedException {
        PostgresWire wire = network.wire();
        int before = wire.lost();
        int times = 1 + fault.dice() % 4;
        switch (fault.kind()) {
            case SWALLOW_COMMIT_ANSWER ->
                lasting(fault, () -> wire.loseAnswerOfCommit(times), () -> wire.loseAnswerOfCommit(0));
            case SWALLOW_COMMIT -> lasting(fault, () -> wire.loseCommit(times), () -> wire.loseCommit(0));
            default -> {
                network(fault, network.proxy());
                return true;
            }
        }
        return wire.lost() > before;
    }

    private static void network(Fault fault, LoopbackProxy proxy) throws InterruptedException {
        Way way = fault.dice() % 2 == 0 ? Way.TO_SERVER : Way.TO_CLIENT;
        Runnable begin = switch (fault.kind()) {
            case PART_BROKER, PART_DATABASE -> fault.dice() % 3 == 0 ? proxy::refuse : proxy::blackHole;
            case PART_BROKER_ONE_WAY, PART_DATABASE_ONE_WAY -> () -> proxy.blackHole(way);
            default -> () -> proxy.latency(Duration.ofMillis(20 + fault.dice()));
        };
        lasting(fault, begin, proxy::heal);
    }

    /** Ends what it began also if it is interrupted meanwhile. */
    static void lasting(Fault fault, Runnable begin, Runnable end) throws InterruptedException {
        begin.run();
        try {
            pause(fault.forMillis());
        } finally {
            end.run();
        }
    }

    static void pause(long millis) throws InterruptedException {
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
}
