package dev.eventbus.embedded;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * The properties of one node: small, quick to notice a lost neighbour, and with everything replicated that can be.
 *
 * <p>Pure: the same arguments give the same properties.
 */
final class NodeConfig {

    /** What makes the cluster a cluster and cannot be set from outside. */
    private static final Set<String> OURS = Set.of(
            "process.roles",
            "node.id",
            "controller.quorum.voters",
            "controller.listener.names",
            "listeners",
            "advertised.listeners",
            "listener.security.protocol.map",
            "inter.broker.listener.name",
            "log.dir",
            "log.dirs",
            "metadata.log.dir");

    /** With it, the clients' listener speaks TLS. */
    static final String KEY_STORE = "listener.name.client.ssl.keystore.location";

    /** Before the name of a user whose password the node keeps in the form of SCRAM; it does so when it formats its folder. */
    static final String SCRAM_USER = "eventbus.scram.";

    private NodeConfig() {}

    /** What was asked for beside the number of nodes; copied, so the builder can be used again. */
    record Wishes(
            List<Integer> advertisedPorts,
            List<Integer> betweenBrokers,
            Map<String, String> properties,
            Map<String, String> saslUsers,
            Map<String, String> scramUsers) {

        Wishes {
            advertisedPorts = List.copyOf(advertisedPorts);
            betweenBrokers = List.copyOf(betweenBrokers);
            properties = Map.copyOf(properties);
            saslUsers = Map.copyOf(saslUsers);
            scramUsers = Map.copyOf(scramUsers);
        }
    }

    /** Refuses a property that the cluster itself decides. */
    static void checkSettable(String name) {
        if (OURS.contains(name)) {
            throw new IllegalArgumentException(
                    "property must not be one that the embedded cluster decides itself, was " + name);
        }
    }

    static Map<String, String> of(NodeAddresses node, List<NodeAddresses> cluster, Path data, Wishes wishes) {
        Map<String, String> properties = new TreeMap<>();
        properties.putAll(smallAndFast());
        properties.putAll(replicated(cluster.size()));
        properties.putAll(wishes.properties());
        properties.putAll(identity(node, cluster, data));
        properties.putAll(security(wishes));
        return properties;
    }

    private static Map<String, String> identity(NodeAddresses node, List<NodeAddresses> cluster, Path data) {
        return Map.of(
                "process.roles", "broker,controller",
                "node.id", Integer.toString(node.node()),
                "controller.quorum.voters", NodeAddresses.quorumVoters(cluster),
                "controller.listener.names", "CONTROLLER",
                "inter.broker.listener.name", "BROKER",
                "listeners",
                        "CLIENT://%s,BROKER://%s,CONTROLLER://%s"
                                .formatted(node.clientAddress(), node.brokerAddress(), node.controllerAddress()),
                "advertised.listeners",
                        "CLIENT://%s,BROKER://%s".formatted(node.advertisedAddress(), node.advertisedBrokerAddress()),
                "log.dirs", data.toString());
    }

    /** Only the clients' listener asks for a password and speaks TLS: the other two are the cluster's own. */
    private static Map<String, String> security(Wishes wishes) {
        Map<String, String> security = new TreeMap<>();
        List<String> mechanisms = new ArrayList<>();
        if (!wishes.saslUsers().isEmpty()) {
            mechanisms.add("PLAIN");
            StringBuilder login = new StringBuilder("org.apache.kafka.common.security.plain.PlainLoginModule required");
            new TreeMap<>(wishes.saslUsers())
                    .forEach((name, password) -> login.append(" user_")
                            .append(name)
                            .append("=\"")
                            .append(password)
                            .append('"'));
            security.put(
                    "listener.name.client.plain.sasl.jaas.config",
                    login.append(';').toString());
        }
        if (!wishes.scramUsers().isEmpty()) {
            mechanisms.add("SCRAM-SHA-512");
            wishes.scramUsers().forEach((name, password) -> security.put(SCRAM_USER + name, password));
            security.put(
                    "listener.name.client.scram-sha-512.sasl.jaas.config",
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;");
        }
        if (!mechanisms.isEmpty()) {
            security.put("sasl.enabled.mechanisms", String.join(",", mechanisms));
        }
        boolean tls = wishes.properties().containsKey(KEY_STORE);
        String protocol = (mechanisms.isEmpty() ? "" : "SASL_") + (tls ? "SSL" : "PLAINTEXT");
        security.put(
                "listener.security.protocol.map",
                "CLIENT:%s,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT".formatted(protocol));
        return security;
    }

    private static Map<String, String> replicated(int nodes) {
        String factor = Integer.toString(nodes);
        String inSync = nodes == 1 ? "1" : "2";
        return Map.of(
                "default.replication.factor", factor,
                "min.insync.replicas", inSync,
                "offsets.topic.replication.factor", factor,
                "transaction.state.log.replication.factor", factor,
                "transaction.state.log.min.isr", inSync,
                "share.coordinator.state.topic.replication.factor", factor,
                "share.coordinator.state.topic.min.isr", inSync);
    }

    /**
     * The defaults are for large clusters: a lost broker is noticed after 9 s, a consumer's heartbeat is due every 5 s,
     * each internal topic has 50 partitions, the log cleaner alone takes 128 MB.
     */
    private static Map<String, String> smallAndFast() {
        return Map.ofEntries(
                Map.entry("auto.create.topics.enable", "false"),
                Map.entry("num.network.threads", "1"),
                Map.entry("num.io.threads", "2"),
                Map.entry("log.cleaner.dedupe.buffer.size", "2097152"),
                Map.entry("offsets.topic.num.partitions", "4"),
                Map.entry("transaction.state.log.num.partitions", "4"),
                Map.entry("share.coordinator.state.topic.num.partitions", "4"),
                Map.entry("broker.heartbeat.interval.ms", "200"),
                Map.entry("broker.session.timeout.ms", "2000"),
                Map.entry("controller.quorum.election.timeout.ms", "500"),
                Map.entry("controller.quorum.fetch.timeout.ms", "1000"),
                Map.entry("group.initial.rebalance.delay.ms", "0"),
                Map.entry("group.min.session.timeout.ms", "500"),
                Map.entry("group.consumer.min.heartbeat.interval.ms", "100"),
                Map.entry("group.consumer.heartbeat.interval.ms", "200"),
                Map.entry("group.consumer.min.session.timeout.ms", "500"),
                Map.entry("group.consumer.session.timeout.ms", "3000"),
                Map.entry("group.share.min.heartbeat.interval.ms", "100"),
                Map.entry("group.share.heartbeat.interval.ms", "200"),
                Map.entry("group.share.min.session.timeout.ms", "500"),
                Map.entry("group.share.session.timeout.ms", "3000"));
    }
}
