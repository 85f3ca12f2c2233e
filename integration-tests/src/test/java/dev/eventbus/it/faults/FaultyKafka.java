package dev.eventbus.it.faults;

import static java.util.stream.Collectors.toMap;

import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.faults.wire.KafkaWire;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.topics.KafkaCluster;
import java.sql.SQLException;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/**
 * A broker that can be made to fail in every way that a producer hears of: behind a {@link LoopbackProxy} that knows Kafka's
 * batches, with users and access rights. The user of relays may write to topics only while it is {@link #grant granted}.
 */
public final class FaultyKafka implements AutoCloseable {

    private static final String ADMIN = "admin";
    private static final String RELAY = "relay";

    private final KafkaWire wire;
    private final LoopbackProxy network;
    private final EmbeddedKafka broker;
    private final Admin admin;
    private final Admin relayAdmin;

    private FaultyKafka(KafkaWire wire, LoopbackProxy network, EmbeddedKafka broker) {
        this.wire = wire;
        this.network = network;
        this.broker = broker;
        this.admin = as(ADMIN).admin();
        this.relayAdmin = as(RELAY).admin();
    }

    /** Starts the broker; its retention checks and its compaction follow each other within a second. */
    public static FaultyKafka start() {
        KafkaWire wire = new KafkaWire();
        LoopbackProxy network = LoopbackProxy.open(wire);
        EmbeddedKafka broker = EmbeddedKafka.builder()
                .advertisedPorts(network.port())
                .saslUser(ADMIN, "admin")
                .saslUser(RELAY, "relay")
                .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
                .property("super.users", "User:ANONYMOUS;User:" + ADMIN)
                .property("log.initial.task.delay.ms", "100")
                .property("log.retention.check.interval.ms", "500")
                .property("log.cleaner.backoff.ms", "200")
                .start();
        network.forwardTo(broker.address(1));
        FaultyKafka kafka = new FaultyKafka(wire, network, broker);
        kafka.allow(ResourceType.CLUSTER, "kafka-cluster", AclOperation.IDEMPOTENT_WRITE);
        kafka.allow(ResourceType.TOPIC, "*", AclOperation.DESCRIBE);
        return kafka;
    }

    public KafkaWire wire() {
        return wire;
    }

    public LoopbackProxy network() {
        return network;
    }

    /** A scene with topics that relays may write to. */
    public Scene scene(PostgresServer postgres, String... topics) throws SQLException {
        Scene scene = Scene.create(as(ADMIN), postgres.uniqueName("faults"), postgres, topics);
        grant(scene, Stream.of(topics).map(topic -> topic.split(":")[0]).toArray(String[]::new));
        return scene;
    }

    /** The cluster as relays see it. */
    public KafkaCluster asRelay(Scene scene) {
        String prefix = scene.kafka().physicalTopic("");
        return as(RELAY).topicPrefix(prefix);
    }

    /** The cluster as somebody sees it who may do everything. */
    public KafkaCluster asAdmin() {
        return as(ADMIN);
    }

    private KafkaCluster as(String user) {
        return KafkaCluster.of(Map.of(
                "bootstrap.servers",
                broker.bootstrapServers(),
                "security.protocol",
                "SASL_PLAINTEXT",
                "sasl.mechanism",
                "PLAIN",
                "sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"%s\" password=\"%s\";"
                        .formatted(user, user)));
    }

    /** The next batch with an event meets its fate. */
    public KafkaWire.Rule failOnce(String eventId, KafkaWire.Fate fate) {
        return wire.when(batch -> batch.ids().contains(eventId), fate).times(1);
    }

    /** The cluster as runners see it: they read all topics and join all groups, and write where relays may. */
    public KafkaCluster asRunner(Scene scene) {
        allow(ResourceType.TOPIC, "*", AclOperation.READ);
        allow(ResourceType.GROUP, "*", AclOperation.READ);
        return asRelay(scene);
    }

    /** Lets relays write to topics of a scene. Returns when it is so. */
    public void grant(Scene scene, String... topics) {
        await(admin.createAcls(writeTo(scene, topics)).all());
        awaitWritable(scene, true, topics);
    }

    /** No longer lets relays write to topics of a scene. Returns when it is so. */
    public void revoke(Scene scene, String... topics) {
        await(admin.deleteAcls(writeTo(scene, topics).stream()
                        .map(AclBinding::toFilter)
                        .toList())
                .all());
        awaitWritable(scene, false, topics);
    }

    /** The controller tells the broker a moment later. */
    private void awaitWritable(Scene scene, boolean writable, String... topics) {
        List<String> names = Stream.of(topics).map(scene.kafka()::physicalTopic).toList();
        DescribeTopicsOptions withRights = new DescribeTopicsOptions().includeAuthorizedOperations(true);
        Eventually.holds(
                () -> relayAdmin.describeTopics(names, withRights).allTopicNames().get().values().stream()
                        .allMatch(topic -> topic.authorizedOperations().contains(AclOperation.WRITE) == writable),
                () -> names);
    }

    private static Collection<AclBinding> writeTo(Scene scene, String... topics) {
        return Stream.of(topics)
                .map(scene.kafka()::physicalTopic)
                .map(topic -> binding(ResourceType.TOPIC, topic, AclOperation.WRITE))
                .toList();
    }

    private void allow(ResourceType type, String name, AclOperation operation) {
        await(admin.createAcls(List.of(binding(type, name, operation))).all());
    }

    private static AclBinding binding(ResourceType type, String name, AclOperation operation) {
        return new AclBinding(
                new ResourcePattern(type, name, PatternType.LITERAL),
                new AccessControlEntry("User:" + RELAY, "*", operation, AclPermissionType.ALLOW));
    }

    /** Sets how large a batch some topics of a scene take. */
    public void limit(Scene scene, int maxMessageBytes, String... topics) {
        set(scene, "max.message.bytes", String.valueOf(maxMessageBytes), topics);
    }

    /** Sets a property of topics. Returns when it is so. */
    public void set(Scene scene, String name, String value, String... topics) {
        List<ConfigResource> resources = Stream.of(topics)
                .map(scene.kafka()::physicalTopic)
                .map(topic -> new ConfigResource(ConfigResource.Type.TOPIC, topic))
                .toList();
        await(admin.incrementalAlterConfigs(resources.stream()
                        .collect(toMap(
                                topic -> topic,
                                topic -> List.of(
                                        new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)))))
                .all());
        Eventually.holds(
                () -> admin.describeConfigs(resources).all().get().values().stream()
                        .allMatch(config -> config.get(name).value().equals(value)),
                () -> name + " is not " + value);
    }

    /** Deletes a topic of a scene. Returns when it is so. */
    public void deleteTopic(Scene scene, String topic) {
        String name = scene.kafka().physicalTopic(topic);
        await(admin.deleteTopics(List.of(name)).all());
        Eventually.holds(() -> !admin.listTopics().names().get().contains(name), () -> name + " is still there");
    }

    private static void await(KafkaFuture<?> done) {
        done.toCompletionStage().toCompletableFuture().join();
    }

    /** Ends all faults of the network. */
    public void heal() {
        wire.forgetRules();
        network.heal();
    }

    @Override
    public void close() {
        heal();
        admin.close();
        relayAdmin.close();
        broker.close();
        network.close();
    }
}
