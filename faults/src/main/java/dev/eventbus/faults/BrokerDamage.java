package dev.eventbus.faults;

import dev.eventbus.faults.Schedule.Fault;
import dev.eventbus.faults.wire.LoopbackProxy;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.Node;

/** What a {@link Nemesis} does to brokers, and between them. */
final class BrokerDamage {

    private static final int ANSWERS_WITHIN_MILLIS = 5_000;

    private final Servers servers;

    BrokerDamage(Servers servers) {
        this.servers = servers;
    }

    /** Some of them; those that are down start together, since one alone may have no majority. */
    private record Brokers(Servers servers, List<Integer> nodes) implements Comeback.Server {

        private int[] down() {
            return nodes.stream()
                    .filter(node -> !servers.kafka().isAlive(node))
                    .mapToInt(Integer::intValue)
                    .toArray();
        }

        @Override
        public boolean isAlive() {
            return down().length == 0;
        }

        @Override
        public void start() {
            int[] down = down();
            servers.kafka().start(down[0], IntStream.of(down).skip(1).toArray());
        }

        @Override
        public boolean answers() throws InterruptedException {
            var options = new DescribeClusterOptions().timeoutMs(ANSWERS_WITHIN_MILLIS);
            try (Admin admin = servers.admin()) {
                return admin.describeCluster(options).nodes().get().stream()
                        .map(Node::id)
                        .toList()
                        .containsAll(nodes);
            } catch (ExecutionException | KafkaException e) {
                return false;
            }
        }

        @Override
        public String toString() {
            return "broker " + nodes;
        }
    }

    /** Returns whether it has met anybody: nobody can be hit as the coordinator while none is known. */
    boolean carryOut(Fault fault) throws InterruptedException {
        int node = 1 + fault.dice() % Servers.BROKERS;
        switch (fault.kind()) {
            case FREEZE_BROKER ->
                Damage.lasting(
                        fault,
                        () -> servers.kafka().pause(node),
                        () -> servers.kafka().resume(node));
            case PART_BETWEEN_BROKERS -> partBetween(fault, node);
            case KILL_TWO_BROKERS -> kill(fault, List.of(node, 1 + node % Servers.BROKERS));
            case KILL_COORDINATOR -> {
                int coordinator = coordinator();
                if (coordinator < 0) {
                    return false;
                }
                kill(fault, List.of(coordinator));
            }
            default -> kill(fault, List.of(node));
        }
        return true;
    }

    /** All of them, or that nobody hears one: its partitions then have a leader that nobody can follow. */
    private void partBetween(Fault fault, int node) throws InterruptedException {
        List<LoopbackProxy> networks = fault.dice() % 2 == 0
                ? servers.betweenBrokers()
                : List.of(servers.betweenBrokers().get(node - 1));
        Damage.lasting(
                fault,
                () -> networks.forEach(network -> {
                    if (fault.dice() % 3 == 0) {
                        network.refuse();
                    } else {
                        network.blackHole();
                    }
                }),
                () -> networks.forEach(LoopbackProxy::heal));
    }

    private void kill(Fault fault, List<Integer> nodes) throws InterruptedException {
        nodes.forEach(servers.kafka()::kill);
        try {
            Damage.pause(fault.forMillis());
        } finally {
            Brokers brokers = new Brokers(servers, nodes);
            Comeback.of(brokers.toString(), brokers, Comeback.WITHIN);
        }
    }

    /** The node that the consumers' group belongs to; -1 if nobody says. */
    private int coordinator() throws InterruptedException {
        try (Admin admin = servers.admin()) {
            return admin.describeConsumerGroups(List.of(ConsumerMain.GROUP))
                    .all()
                    .get(ANSWERS_WITHIN_MILLIS, TimeUnit.MILLISECONDS)
                    .values()
                    .iterator()
                    .next()
                    .coordinator()
                    .id();
        } catch (ExecutionException | TimeoutException | KafkaException e) {
            System.err.println("no coordinator is known: " + e);
            return -1;
        }
    }
}
