package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static dev.eventbus.it.Events.HOUSING_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Events.HousingUpdated;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.SendMode;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.retry.RetryConfig;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.PreparedStatement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * A broker as it is to be: TLS, passwords by SCRAM, and rights. The ACLs that docs/operations.md names are enough, and without any one of
 * them somebody says which.
 */
@ExtendWith(ServersExtension.class)
class AclsIT {

    private static final Path DOCS = Path.of("../docs/operations.md");
    private static final String GROUP = "calculator.asset.events";

    @TempDir
    private static Path folder;

    private static Path certificate;
    private static EmbeddedKafka broker;
    private static Admin admin;

    private final Scene scene;
    private final String unique;
    private final List<Acl> documented;

    AclsIT(PostgresServer postgres) throws Exception {
        unique = postgres.uniqueName("acls");
        scene = Scene.create(as("admin"), unique, postgres, "asset.events:2", "housing.events:1", "dlq.events:1");
        scene.execute("CREATE TABLE effect (event varchar(128))");
        documented = documented();
        List<AclBinding> bindings = documented.stream().map(this::binding).toList();
        admin.createAcls(bindings).all().get();
        Eventually.holds(
                () -> admin.describeAcls(AclBindingFilter.ANY).values().get().containsAll(bindings),
                () -> "they are not in force");
    }

    @BeforeAll
    static void startBroker() throws Exception {
        certificate = new Certificates(folder).selfSigned("broker", "-ext", Certificates.HERE);
        broker = EmbeddedKafka.builder()
                .tls(certificate, Certificates.PASSWORD)
                .scramUser("admin", "S3CR3T-admin")
                .scramUser("relay", "S3CR3T-relay")
                .scramUser("consumer", "S3CR3T-consumer")
                .scramUser("watcher", "S3CR3T-watcher")
                .scramUser("redriver", "S3CR3T-redriver")
                .scramUser("adopter", "S3CR3T-adopter")
                .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
                .property("super.users", "User:admin;User:ANONYMOUS") // brokers among themselves have no name
                .start();
        admin = as("admin").admin();
    }

    @AfterAll
    static void stopBroker() {
        admin.close();
        broker.close();
    }

    @AfterEach
    void close() throws Exception {
        scene.close();
    }

    private static KafkaCluster as(String user) {
        return with(settingsOf(user));
    }

    private static KafkaCluster with(Map<String, Object> settings) {
        return KafkaCluster.of(settings).named("kafka-events");
    }

    private static Map<String, Object> settingsOf(String user) {
        return settings("SASL_SSL", "SCRAM-SHA-512", user, "S3CR3T-" + user);
    }

    private static Map<String, Object> settings(String protocol, String mechanism, String user, String password) {
        String module = mechanism.equals("PLAIN") ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
        Map<String, Object> settings = new HashMap<>(Certificates.trust(certificate));
        settings.put("bootstrap.servers", broker.bootstrapServers());
        settings.put("security.protocol", protocol);
        settings.put("sasl.mechanism", mechanism);
        settings.put(
                "sasl.jaas.config",
                "org.apache.kafka.common.security.%s required username=\"%s\" password=\"%s\";"
                        .formatted(module, user, password));
        return settings;
    }

    /** One operation on one resource. */
    private record Acl(String user, AclOperation operation, ResourceType type, String name, PatternType pattern) {

        @Override
        public String toString() {
            return "%s on %s %s for the %s".formatted(operation, type, name, user);
        }
    }

    private static List<Acl> documented() throws Exception {
        Pattern principal = Pattern.compile("--allow-principal User:(\\w+)");
        Pattern operation = Pattern.compile("--operation (\\w+)");
        Pattern resource = Pattern.compile("--(topic|group|transactional-id) (\\S+)");
        List<Acl> acls = new ArrayList<>();
        for (String line : Files.readAllLines(DOCS)) {
            if (line.startsWith("kafka-acls ")) {
                String user = only(principal, line);
                PatternType pattern = line.contains("prefixed") ? PatternType.PREFIXED : PatternType.LITERAL;
                for (String allowed : operation
                        .matcher(line)
                        .results()
                        .map(found -> found.group(1))
                        .toList()) {
                    for (MatchResult on : resource.matcher(line).results().toList()) {
                        acls.add(new Acl(
                                user,
                                AclOperation.fromString(allowed.replaceAll("(?<=[a-z])(?=[A-Z])", "_")),
                                ResourceType.fromString(on.group(1).replace('-', '_')),
                                on.group(2),
                                pattern));
                    }
                }
            }
        }
        assertThat(acls).hasSizeGreaterThan(5);
        return acls;
    }

    private static String only(Pattern pattern, String line) {
        return pattern.matcher(line).results().findFirst().orElseThrow().group(1);
    }

    /** In this test's own corner of the broker. */
    private AclBinding binding(Acl acl) {
        String name = switch (acl.type) {
            case TOPIC -> scene.kafka().physicalTopic(acl.name);
            case GROUP -> scene.group(acl.name);
            default -> acl.name;
        };
        return new AclBinding(
                new ResourcePattern(acl.type, name, acl.pattern),
                new AccessControlEntry("User:" + acl.user, "*", acl.operation, AclPermissionType.ALLOW));
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
        int rounds = 0;
        for (Acl acl : documented) {
            if (!Set.of("relay", "consumer").contains(acl.user)) {
                continue;
            }
            rounds++;
            admin.deleteAcls(List.of(binding(acl).toFilter())).all().get();
            publish("alice", "mallory");
            SendMode mode = acl.type == ResourceType.TRANSACTIONAL_ID ? SendMode.STRICT : SendMode.PIPELINED;
            String named = acl.operation == AclOperation.DESCRIBE_CONFIGS ? "needs the ACL DescribeConfigs" : acl.name;
            try (OutboxRelay relay = relay(mode);
                    ConsumerRunner runner = runner()) {
                relay.start();
                runner.start();
                Eventually.holds(
                        () -> (relay.health().problems() + " " + runner.health().problems()).contains(named),
                        () -> acl + ": " + relay.health() + " " + runner.health());
                admin.createAcls(List.of(binding(acl))).all().get();
                int handled = rounds;
                Eventually.holds(
                        () -> isAllHandled(handled, handled),
                        () -> acl + ": " + relay.health() + " " + runner.health());
            }
        }
        assertThat(rounds).isEqualTo(7);
    }

    @Test
    void S_04_so_it_is_for_who_watches_letters_who_redrives_and_who_adopts_partitions() throws Exception {
        publish("alice", "mallory");
        try (OutboxRelay relay = relay(SendMode.PIPELINED);
                ConsumerRunner runner = runner()) {
            relay.start();
            runner.start();
            Eventually.holds(() -> isAllHandled(1, 1), () -> relay.health() + " " + runner.health());
        }
        List<DeadLetter> seen = new CopyOnWriteArrayList<>();
        try (ConsumerRunner watcher = ConsumerRunner.builder(mine("watcher"), scene.group("monitoring.dlq.events"))
                .onDeadLetters("dlq.events", (letter, delivery) -> seen.add(letter))
                .build()) {
            watcher.start();
            Eventually.holds(
                    () -> seen.size() == 1 && watcher.health().problems().isEmpty(), watcher::health);
        }
        KafkaCluster redriver = mine("redriver");
        RedrivePlan plan = Redrive.of(redriver, scene.group(GROUP), "dlq.events", scene.inbox())
                .plan();
        assertThat(plan.size()).isEqualTo(1);
        assertThat(plan.run("tried").handedOver()).isEqualTo(1);

        admin.createPartitions(Map.of(scene.kafka().physicalTopic("asset.events"), NewPartitions.increaseTo(4)))
                .all()
                .get();
        KafkaCluster adopter = mine("adopter");
        Eventually.holds(
                () -> OutboxAdmin.of(scene.outbox(), scene.database())
                                .adoptPartitions(adopter, "asset.events", Duration.ofSeconds(30), scene.group(GROUP))
                        == 4,
                () -> "the new partitions are not known yet");
    }

    @ParameterizedTest
    @CsvSource({"classic, true", "consumer, true", "classic, false"})
    void a_topic_that_a_user_may_not_read_or_even_see_holds_up_no_other_and_goes_on_when_he_may(
            String protocol, boolean isSeen) throws Exception {
        Acl see = new Acl("consumer", AclOperation.DESCRIBE, ResourceType.TOPIC, "housing.events", PatternType.LITERAL);
        Acl read = new Acl("consumer", AclOperation.READ, ResourceType.TOPIC, "housing.events", PatternType.LITERAL);
        if (isSeen) {
            admin.createAcls(List.of(binding(see))).all().get();
        }
        Map<String, Object> settings = settingsOf("consumer");
        settings.put("group.protocol", protocol);
        settings.put("metadata.max.age.ms", 2_000);
        List<String> assets = new CopyOnWriteArrayList<>();
        List<String> houses = new CopyOnWriteArrayList<>();
        try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                        .build();
                ConsumerRunner runner = ConsumerRunner.builder(
                                with(settings).topicPrefix(unique + "."), scene.group(GROUP))
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
            admin.createAcls(List.of(binding(read))).all().get();
            Eventually.holds(
                    () -> houses.size() == 1 && runner.health().problems().isEmpty(), runner::health);
        }
    }

    private KafkaCluster mine(String user) {
        return as(user).topicPrefix(unique + ".");
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
        KafkaCluster wrong = with(settings(protocol, mechanism, user, password)).topicPrefix(unique + ".");
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
