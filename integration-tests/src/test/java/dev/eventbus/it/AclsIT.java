package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static dev.eventbus.it.Events.HOUSING_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.KafkaAccessException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.redrive.PlannedKey;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Events.HousingUpdated;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.SendMode;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.retry.RetryConfig;
import java.nio.file.Path;
import java.sql.PreparedStatement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourceType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** On a broker with rights, the ACLs that docs/operations.md names are enough, and without any one of them somebody says which. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class AclsIT {

    private static final String GROUP = "calculator.asset.events";

    @TempDir
    private static Path folder;

    private static SecureBroker broker;

    private final Scene scene;
    private final String unique;
    private final Rights rights;

    AclsIT(PostgresServer postgres) throws Exception {
        unique = postgres.uniqueName("acls");
        scene = Scene.create(
                broker.as("admin"), unique, postgres, "asset.events:2", "housing.events:1", "dlq.events:1");
        scene.execute("CREATE TABLE effect (event varchar(128))");
        rights = new Rights(broker.admin(), scene);
    }

    @BeforeAll
    static void startBroker() throws Exception {
        broker = SecureBroker.start(folder, "relay", "consumer", "watcher", "redriver", "adopter");
    }

    @AfterAll
    static void stopBroker() {
        broker.close();
    }

    @AfterEach
    void close() throws Exception {
        scene.close();
    }

    private OutboxRelay relay(SendMode mode) {
        return OutboxRelay.builder(scene.outbox(), scene.database(), mine("relay"))
                .sendMode(mode)
                .build();
    }

    private ConsumerRunner runner() {
        return runner(mine("consumer"));
    }

    private ConsumerRunner runner(KafkaCluster kafka) {
        return ConsumerRunner.builder(kafka, scene.group(GROUP))
                .inTransaction(scene.inbox(), ASSET_UPDATED, (event, tx) -> {
                    if (event.key().equals("mallory")) {
                        throw new IllegalStateException();
                    }
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO effect (event) VALUES (?)")) {
                        insert.setString(1, event.id());
                        insert.executeUpdate();
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> 10L)
                        .build())
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    private void publish(String... users) throws Exception {
        scene.inTransaction(tx -> {
            for (String user : users) {
                scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount(user, 1));
            }
        });
    }

    private boolean isAllHandled(int effects, int letters) throws Exception {
        return scene.count("SELECT count(*) FROM effect") == effects
                && scene.count("SELECT count(*) FROM eventbus_inbox WHERE outcome = 'DEAD'") == letters;
    }

    @ParameterizedTest
    @EnumSource(SendMode.class)
    void S_04_what_is_documented_is_enough_from_the_outbox_to_a_dead_letter(SendMode mode) throws Exception {
        publish("alice", "mallory", "bob");
        try (OutboxRelay relay = relay(mode);
                ConsumerRunner runner = runner()) {
            relay.start();
            runner.start();
            Eventually.holds(() -> isAllHandled(2, 1), () -> relay.health() + " " + runner.health());
            Eventually.holds(
                    () -> relay.health().problems().isEmpty()
                            && runner.health().problems().isEmpty(),
                    () -> relay.health() + " " + runner.health());
        }
    }

    @Test
    void S_04_without_any_one_of_them_it_is_named_and_nothing_is_lost_and_with_it_all_goes_on() throws Exception {
        List<Acl> needed = new ArrayList<>(rights.of("relay"));
        needed.addAll(rights.of("consumer"));
        int rounds = 0;
        for (Acl acl : needed) {
            rounds++;
            rights.revoke(acl);
            publish("alice", "mallory");
            SendMode mode = acl.type() == ResourceType.TRANSACTIONAL_ID ? SendMode.STRICT : SendMode.PIPELINED;
            String named =
                    acl.operation() == AclOperation.DESCRIBE_CONFIGS ? "needs the ACL DescribeConfigs" : acl.name();
            try (OutboxRelay relay = relay(mode);
                    ConsumerRunner runner = runner()) {
                relay.start();
                runner.start();
                Eventually.holds(
                        () -> (relay.health().problems() + " " + runner.health().problems()).contains(named),
                        () -> acl + ": " + relay.health() + " " + runner.health());
                rights.grant(acl);
                int handled = rounds;
                Eventually.holds(
                        () -> isAllHandled(handled, handled),
                        () -> acl + ": " + relay.health() + " " + runner.health());
            }
        }
        assertThat(rounds).isEqualTo(7);
    }

    @Test
    void S_04_who_watches_letters_needs_each_of_his_and_sees_with_them_all_that_came_before() throws Exception {
        scene.sendRaw("dlq.events", "mallory", "{}");
        List<DeadLetter> seen = new CopyOnWriteArrayList<>();
        rights.withoutEach(rights.of("watcher"), (acl, isSeen) -> {
            try (ConsumerRunner watcher = watcher(seen)) {
                watcher.start();
                Eventually.holds(
                        () -> watcher.health().problems().toString().contains(rights.resource(acl)),
                        () -> acl + ": " + watcher.health());
            }
            assertThat(seen).as("%s", acl).isEmpty();
        });
        try (ConsumerRunner watcher = watcher(seen)) {
            watcher.start();
            Eventually.holds(
                    () -> seen.size() == 1 && watcher.health().problems().isEmpty(), watcher::health);
        }
    }

    private ConsumerRunner watcher(List<DeadLetter> seen) {
        return ConsumerRunner.builder(mine("watcher"), scene.group("monitoring.dlq.events"))
                .onDeadLetters("dlq.events", (letter, delivery) -> seen.add(letter))
                .build();
    }

    /** The second letter stands behind the first one, in its partition. */
    private void handleOneAndFailTwo(SendMode mode) throws Exception {
        publish("alice", "mallory", "mallory");
        try (OutboxRelay relay = relay(mode);
                ConsumerRunner runner = runner()) {
            relay.start();
            runner.start();
            Eventually.holds(() -> isAllHandled(1, 2), () -> relay.health() + " " + runner.health());
        }
    }

    @Test
    void S_04_who_redrives_needs_each_of_his_to_redrive_or_to_say_what_was_handled_since() throws Exception {
        handleOneAndFailTwo(SendMode.PIPELINED);
        Redrive redrive = Redrive.of(mine("redriver"), scene.group(GROUP), "dlq.events", scene.inbox());
        List<Acl> withoutInbox = rights.of("redriver").stream()
                .filter(this::isForGroupsWithoutInbox)
                .toList();
        List<Acl> needed = new ArrayList<>(rights.of("redriver"));
        needed.removeAll(withoutInbox);
        for (Acl acl : withoutInbox) {
            rights.revoke(acl);
        }
        rights.withoutEach(needed, (acl, isSeen) -> {
            if (acl.name().equals("asset.events")) {
                assertThat(redrive.plan().keys()).as("%s", acl).singleElement().matches(key -> !key.exact());
            } else {
                assertThatThrownBy(redrive::plan).as("%s", acl).hasMessageContaining(rights.resource(acl));
            }
        });
        RedrivePlan plan = redrive.plan();
        assertThat(plan.keys()).singleElement().matches(PlannedKey::exact);
        assertThat(plan.run("tried").handedOver()).isEqualTo(2);
    }

    private boolean isForGroupsWithoutInbox(Acl acl) {
        return acl.operation() == AclOperation.WRITE || acl.operation() == AclOperation.DESCRIBE_CONFIGS;
    }

    @Test
    void S_04_who_redrives_for_a_group_without_an_inbox_needs_each_of_his() throws Exception {
        handleOneAndFailTwo(SendMode.PIPELINED);
        Redrive redrive =
                Redrive.of(mine("redriver"), scene.group(GROUP), "dlq.events").stopsAfter(1);
        rights.withoutEach(rights.of("redriver"), (acl, isSeen) -> {
            String named =
                    acl.operation() == AclOperation.DESCRIBE_CONFIGS ? "the ACL DescribeConfigs" : rights.resource(acl);
            assertThat(troubleOf(redrive)).as("%s", acl).contains(named);
        });
        assertThat(redrive.plan().run("tried").handedOver()).isEqualTo(2);
    }

    private static String troubleOf(Redrive redrive) {
        try {
            RedrivePlan plan = redrive.plan();
            return plan.standings() + " " + plan.run("tried").stopped();
        } catch (KafkaAccessException e) {
            return String.valueOf(e.getMessage());
        }
    }

    @Test
    void S_04_who_adopts_partitions_needs_each_of_his() throws Exception {
        handleOneAndFailTwo(SendMode.STRICT);
        String topic = scene.kafka().physicalTopic("asset.events");
        standBeforeTheLastMarks(topic);
        broker.admin()
                .createPartitions(Map.of(topic, NewPartitions.increaseTo(4)))
                .all()
                .get();
        KafkaCluster adopter = mine("adopter");
        Eventually.holds(() -> partitions(adopter, topic) == 4, () -> "the new partitions are not known yet");
        Callable<Integer> adoption = () -> OutboxAdmin.of(scene.outbox(), scene.database())
                .adoptPartitions(adopter, "asset.events", Duration.ofSeconds(30), scene.group(GROUP));
        rights.withoutEach(
                rights.of("adopter"),
                (acl, isSeen) -> assertThatThrownBy(adoption::call)
                        .as("%s", acl)
                        .isInstanceOf(KafkaAccessException.class)
                        .hasMessageContaining(rights.resource(acl)));
        assertThat(adoption.call()).isEqualTo(4);
    }

    /** Marks of transactions, which no group has to commit: whether anything else is left is seen only by who reads. */
    private void standBeforeTheLastMarks(String topic) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        try (Consumer<byte[], byte[]> consumer = broker.as("admin").consumer(Map.of())) {
            consumer.endOffsets(List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1)))
                    .forEach((partition, end) -> offsets.put(partition, new OffsetAndMetadata(Math.max(0, end - 1))));
        }
        broker.admin()
                .alterConsumerGroupOffsets(scene.group(GROUP), offsets)
                .all()
                .get();
    }

    private static int partitions(KafkaCluster kafka, String topic) {
        try (Consumer<byte[], byte[]> consumer = kafka.consumer(Map.of())) {
            return consumer.partitionsFor(topic).size();
        }
    }

    @ParameterizedTest
    @CsvSource({"classic, true", "consumer, true", "classic, false"})
    void a_topic_that_a_user_may_not_read_or_even_see_holds_up_no_other_and_goes_on_when_he_may(
            String protocol, boolean isSeen) throws Exception {
        Acl see = new Acl("consumer", AclOperation.DESCRIBE, ResourceType.TOPIC, "housing.events", PatternType.LITERAL);
        Acl read = new Acl("consumer", AclOperation.READ, ResourceType.TOPIC, "housing.events", PatternType.LITERAL);
        if (isSeen) {
            rights.grant(see);
        }
        Map<String, Object> settings = broker.settingsOf("consumer");
        settings.put("group.protocol", protocol);
        settings.put("metadata.max.age.ms", 2_000);
        List<String> assets = new CopyOnWriteArrayList<>();
        List<String> houses = new CopyOnWriteArrayList<>();
        try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                        .build();
                ConsumerRunner runner = ConsumerRunner.builder(
                                broker.with(settings).topicPrefix(unique + "."), scene.group(GROUP))
                        .on(ASSET_UPDATED, (event, delivery) -> assets.add(event.id()))
                        .on(HOUSING_UPDATED, (event, delivery) -> houses.add(event.id()))
                        .afterRetries(AfterRetries.deadLetter("dlq.events"))
                        .build()) {
            relay.start();
            runner.start();
            scene.inTransaction(
                    tx -> scene.outbox().within(tx).publish(HOUSING_UPDATED, new HousingUpdated("alice", null, null)));
            String denied = "'%s'".formatted(scene.kafka().physicalTopic("housing.events"));
            Eventually.holds(() -> runner.health().problems().toString().contains(denied), runner::health);
            publish("bob");
            Eventually.holds(() -> assets.size() == 1, runner::health);
            for (int round = 2; round <= 20; round++) {
                publish("bob");
                int published = round;
                Eventually.holds(Duration.ofSeconds(5), () -> assets.size() == published, runner::health);
            }
            assertThat(houses).isEmpty();
            assertThat(runner.health().problems().toString()).contains(denied);
            rights.grant(read);
            Eventually.holds(
                    () -> houses.size() == 1 && runner.health().problems().isEmpty(), runner::health);
        }
    }

    private KafkaCluster mine(String user) {
        return broker.as(user).topicPrefix(unique + ".");
    }

    private static Stream<Arguments> wrongWaysIn() {
        return Stream.of(
                Arguments.of("a wrong password", "SASL_SSL", "SCRAM-SHA-512", "relay", "S3CR3T-wrong"),
                Arguments.of("a user whom nobody knows", "SASL_SSL", "SCRAM-SHA-512", "mallory", "S3CR3T-relay"),
                Arguments.of("the password in plain text", "SASL_SSL", "PLAIN", "relay", "S3CR3T-relay"),
                Arguments.of("no TLS", "SASL_PLAINTEXT", "SCRAM-SHA-512", "relay", "S3CR3T-relay"),
                Arguments.of("no password", "SSL", "SCRAM-SHA-512", "relay", "S3CR3T-relay"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("wrongWaysIn")
    void S_03_who_comes_in_another_way_is_refused_says_so_without_a_secret_and_loses_nothing(
            String what, String protocol, String mechanism, String user, String password) throws Exception {
        publish("alice");
        KafkaCluster wrong = broker.with(broker.settings(protocol, mechanism, user, password))
                .topicPrefix(unique + ".");
        try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), wrong)
                        .build();
                ConsumerRunner runner = runner(wrong)) {
            relay.start();
            runner.start();
            Eventually.holds(
                    () -> (relay.health() + " " + runner.health()).contains("kafka-events")
                            && !runner.health().problems().isEmpty(),
                    () -> what + relay.health() + " " + runner.health());
            assertThat(relay.health() + " " + runner.health()).doesNotContain("S3CR3T");
        }
        assertThat(scene.count("SELECT count(*) FROM eventbus_outbox")).isEqualTo(1);
        try (OutboxRelay relay = relay(SendMode.PIPELINED);
                ConsumerRunner runner = runner()) {
            relay.start();
            runner.start();
            Eventually.holds(() -> isAllHandled(1, 0), () -> what + relay.health() + " " + runner.health());
        }
    }
}
