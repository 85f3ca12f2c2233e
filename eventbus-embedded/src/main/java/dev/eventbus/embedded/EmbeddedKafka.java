package dev.eventbus.embedded;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A real Kafka for tests and demos: one or three nodes, each broker and controller in a child JVM of its own, so that
 * each can be killed, frozen and started again. No broker class comes to the class path; the broker's jars travel inside
 * this jar and are unpacked once per version.
 *
 * <pre>{@code
 * try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
 *     properties.put("bootstrap.servers", kafka.bootstrapServers());
 *     ...
 * }
 * }</pre>
 *
 * <p>Defaults: 1 node; topics are never created by themselves; replication factor = number of nodes; with three nodes
 * {@code min.insync.replicas} = 2; a lost broker is noticed after 2 s instead of 9 s; a group does not wait for more
 * members. A node takes about 220 MB and starts in about 2 s, three in about 5 s. Linux and macOS.
 *
 * <p>Nodes are numbered from 1. Addresses, data and logs stay the same until {@link #close()}. The data lies in a
 * temporary folder and is deleted by {@code close()} unless the system property {@code eventbus.embedded.keep} is
 * {@code true}. Whatever happens to this JVM, even SIGKILL, the nodes end with it, and the next start deletes the data, unless the machine was booted anew.
 *
 * <p>Thread-safe.
 */
public final class EmbeddedKafka implements KafkaServer, AutoCloseable {

    private static final Logger log = LoggerFactory.getLogger(EmbeddedKafka.class);
    private static final int START_TRIES = 3;

    private final WorkFolder work;
    private final List<KafkaNode> nodes;
    private final String version;

    private EmbeddedKafka(WorkFolder work, List<KafkaNode> nodes, String version) {
        this.work = work;
        this.nodes = List.copyOf(nodes);
        this.version = version;
    }

    /**
     * Starts one node with the defaults.
     *
     * @throws EmbeddedServerException if it does not come up; the message ends with the tail of its log
     */
    public static EmbeddedKafka start() {
        return builder().start();
    }

    /** A builder with the defaults. */
    public static Builder builder() {
        return new Builder();
    }

    private static EmbeddedKafka start(int nodes, NodeConfig.Wishes wishes) {
        BrokerRuntime runtime = BrokerRuntime.unpacked();
        for (int attempt = 1; ; attempt++) {
            EmbeddedKafka kafka = prepared(nodes, wishes, runtime);
            try {
                kafka.launch(kafka.nodes);
                log.info("Kafka {} is up at {}", runtime.kafkaVersion(), kafka.bootstrapServers());
                return kafka;
            } catch (RuntimeException e) {
                boolean tryAgain = attempt < START_TRIES && kafka.nodes.stream().anyMatch(KafkaNode::metPortClash);
                boolean isClean = ServerProcess.cleanUpAfter(
                        e, kafka::killAll, tryAgain ? kafka.work::discard : kafka.work::delete);
                if (!tryAgain || !isClean) {
                    throw e;
                }
                log.warn("Another process took a port that had been free for Kafka; trying again with other ports");
            }
        }
    }

    private static EmbeddedKafka prepared(int count, NodeConfig.Wishes wishes, BrokerRuntime runtime) {
        String clusterId = newClusterId();
        List<NodeAddresses> cluster = NodeAddresses.find(count, wishes.advertisedPorts(), wishes.betweenBrokers());
        WorkFolder work = WorkFolder.create("kafka");
        List<KafkaNode> nodes = cluster.stream()
                .map(addresses -> new KafkaNode(addresses, runtime, clusterId, work))
                .toList();
        EmbeddedKafka kafka = new EmbeddedKafka(work, nodes, runtime.kafkaVersion());
        try {
            for (KafkaNode node : nodes) {
                NodeAddresses addresses = node.addresses();
                node.configure(NodeConfig.of(addresses, cluster, KafkaNode.data(work, addresses.node()), wishes));
            }
            return kafka;
        } catch (RuntimeException e) {
            ServerProcess.cleanUpAfter(e, kafka::close);
            throw e;
        }
    }

    /** Kafka's form of an id: 16 bytes in the web's base 64. */
    private static String newClusterId() {
        UUID id = UUID.randomUUID();
        byte[] bytes = ByteBuffer.allocate(2 * Long.BYTES)
                .putLong(id.getMostSignificantBits())
                .putLong(id.getLeastSignificantBits())
                .array();
        return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }

    /** The addresses that clients are told, of all nodes whether they run or not. */
    @Override
    public String bootstrapServers() {
        return NodeAddresses.bootstrapServers(
                nodes.stream().map(KafkaNode::addresses).toList());
    }

    /** Where a node really listens for clients: what a proxy in front of it forwards to. */
    public String address(int node) {
        return node(node).addresses().clientAddress();
    }

    /** Where a node really listens for the other brokers: what a proxy between them forwards to. */
    public String brokerAddress(int node) {
        return node(node).addresses().brokerAddress();
    }

    /** How many nodes there are, whether they run or not. */
    public int nodes() {
        return nodes.size();
    }

    /** The broker's version, such as {@code 4.3.1}. */
    public String version() {
        return version;
    }

    /** The process id of a node; of its last run if it does not run. */
    public long pid(int node) {
        return node(node).pid();
    }

    /** Whether a node's process exists, be it frozen or not. */
    public boolean isAlive(int node) {
        return node(node).isAlive();
    }

    /** SIGKILL: the node is gone at once, as after a crash. Returns when it is gone; harmless if it was. */
    public void kill(int node) {
        node(node).kill();
        log.info("Kafka node {} was killed", node);
    }

    /** SIGSTOP: the node keeps its connections and answers nothing, until {@link #resume(int)}. */
    public void pause(int node) {
        node(node).pause();
        log.info("Kafka node {} is frozen", node);
    }

    /** SIGCONT: a frozen node goes on. */
    public void resume(int node) {
        node(node).resume();
        log.info("Kafka node {} goes on", node);
    }

    /** SIGTERM: the node hands its leaderships over and leaves. Returns when it is gone, within 30 s. */
    public void stop(int node) {
        node(node).stop();
        log.info("Kafka node {} has stopped", node);
    }

    /**
     * Starts nodes that do not run, on the data they had, and returns when they are ready, within 60 s. If the majority
     * of a cluster is down, name as many nodes as make a majority again: none gets ready alone.
     *
     * @throws IllegalStateException if one of them runs
     * @throws EmbeddedServerException if one does not come up; the message ends with the tail of its log
     */
    public void start(int node, int... more) {
        launch(IntStream.concat(IntStream.of(node), IntStream.of(more))
                .mapToObj(this::node)
                .toList());
        log.info("Kafka node {} is up again{}", node, more.length == 0 ? "" : ", and so are " + more.length + " more");
    }

    /** {@link #stop(int)} if the node runs, then {@link #start(int, int...)}. */
    public void restart(int node) {
        if (isAlive(node)) {
            stop(node);
        }
        start(node);
    }

    /** Kills all nodes and deletes their data and logs. */
    @Override
    public void close() {
        ServerProcess.despiteFailures(Stream.of(this::killAll, work::delete));
    }

    private void killAll() {
        ServerProcess.despiteFailures(nodes.stream().map(node -> node::kill));
    }

    private void launch(List<KafkaNode> launched) {
        launched.forEach(KafkaNode::launch);
        launched.forEach(KafkaNode::awaitReady);
    }

    private KafkaNode node(int number) {
        if (number < 1 || number > nodes.size()) {
            throw new IllegalArgumentException("node must be 1 to %d, was %d".formatted(nodes.size(), number));
        }
        return nodes.get(number - 1);
    }

    /** Collects what differs from the defaults. Not thread-safe; may be used again after {@link #start()}. */
    public static final class Builder {

        private static final Pattern WORD = Pattern.compile("[A-Za-z0-9._-]+");

        private final Map<String, String> properties = new HashMap<>();
        private final Map<String, String> saslUsers = new HashMap<>();
        private final Map<String, String> scramUsers = new HashMap<>();
        private List<Integer> advertisedPorts = List.of();
        private List<Integer> betweenBrokers = List.of();
        private int nodes = 1;

        private Builder() {}

        /** How many nodes, 1 or 3; default 1. */
        public Builder nodes(int count) {
            if (count != 1 && count != 3) {
                throw new IllegalArgumentException("nodes must be 1 or 3, was " + count);
            }
            this.nodes = count;
            return this;
        }

        /**
         * A broker property of every node, in place of the default of Kafka or of this class.
         *
         * @throws IllegalArgumentException for the few that make the cluster, such as {@code listeners}
         */
        public Builder property(String name, String value) {
            NodeConfig.checkSettable(name);
            properties.put(name, value);
            return this;
        }

        /**
         * Lets clients in by password only, by {@code PLAIN} over {@code SASL_PLAINTEXT}, and lets this user in; may be
         * called for several. By default there are no passwords. Both may hold letters, digits and {@code . _ -}.
         */
        public Builder saslUser(String name, String password) {
            checkUser(name, password);
            saslUsers.put(name, password);
            return this;
        }

        /**
         * As {@link #saslUser}, by {@code SCRAM-SHA-512}: the password is never sent, and the broker keeps none. With {@link #tls} it is
         * {@code SASL_SSL}. Brokers take users of both kinds.
         */
        public Builder scramUser(String name, String password) {
            checkUser(name, password);
            scramUsers.put(name, password);
            return this;
        }

        private static void checkUser(String name, String password) {
            if (!WORD.matcher(name).matches()) {
                throw new IllegalArgumentException("name must be letters, digits and . _ -, was '" + name + "'");
            }
            if (!WORD.matcher(password).matches()) {
                throw new IllegalArgumentException("password of " + name + " must be letters, digits and . _ -");
            }
        }

        /**
         * Lets clients in by TLS only, {@code SSL} or, with users, {@code SASL_SSL}.
         *
         * @param keyStore the brokers' key and certificate, PKCS #12
         */
        public Builder tls(Path keyStore, String password) {
            properties.put(NodeConfig.KEY_STORE, keyStore.toAbsolutePath().toString());
            properties.put("listener.name.client.ssl.keystore.password", password);
            properties.put("listener.name.client.ssl.keystore.type", "PKCS12");
            return this;
        }

        /**
         * The ports that clients are told instead of the real ones, one for each node: those of proxies on the loopback
         * interface, which forward to {@link EmbeddedKafka#address(int)}. The brokers talk to each other directly, unless
         * {@link #portsBetweenBrokers} says otherwise.
         */
        public Builder advertisedPorts(int... ports) {
            this.advertisedPorts = IntStream.of(ports).boxed().toList();
            return this;
        }

        /**
         * The ports at which brokers reach each other instead of the real ones, one for each node: those of proxies, which
         * forward to {@link EmbeddedKafka#brokerAddress(int)}. What the controllers say among themselves goes directly.
         */
        public Builder portsBetweenBrokers(int... ports) {
            this.betweenBrokers = IntStream.of(ports).boxed().toList();
            return this;
        }

        /**
         * Starts the nodes and returns when all are ready, within 60 s.
         *
         * @throws IllegalArgumentException if the options contradict each other
         * @throws EmbeddedServerException if a node does not come up; the message ends with the tail of its log
         */
        public EmbeddedKafka start() {
            checkOneForEach("advertisedPorts", advertisedPorts);
            checkOneForEach("portsBetweenBrokers", betweenBrokers);
            return EmbeddedKafka.start(
                    nodes, new NodeConfig.Wishes(advertisedPorts, betweenBrokers, properties, saslUsers, scramUsers));
        }

        private void checkOneForEach(String name, List<Integer> ports) {
            if (!ports.isEmpty() && ports.size() != nodes) {
                throw new IllegalArgumentException(
                        "%s must be one for each node, was %d for %d nodes".formatted(name, ports.size(), nodes));
            }
        }
    }
}
