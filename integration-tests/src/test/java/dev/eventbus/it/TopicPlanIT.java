package dev.eventbus.it;

import static dev.eventbus.it.HomeStarterTopics.TOPICS;
import static org.apache.kafka.common.acl.AclOperation.ALTER;
import static org.apache.kafka.common.acl.AclOperation.ALTER_CONFIGS;
import static org.apache.kafka.common.acl.AclOperation.CREATE;
import static org.apache.kafka.common.acl.AclOperation.DESCRIBE;
import static org.apache.kafka.common.acl.AclOperation.DESCRIBE_CONFIGS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.faults.crash.Decorator;
import dev.eventbus.topics.GrowPartitions;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicFinding;
import dev.eventbus.topics.TopicFinding.Remedy;
import dev.eventbus.topics.TopicNaming;
import dev.eventbus.topics.TopicPlan;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInfo;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A plan of topics, against brokers of which there are as many as its replicas need. */
@Execution(ExecutionMode.CONCURRENT)
class TopicPlanIT {

    private static final Logger log = LoggerFactory.getLogger(TopicPlanIT.class);

    private static EmbeddedKafka brokers;

    private final String prefix;
    private final KafkaCluster kafka;

    /** A prefix keeps what tests create apart. */
    TopicPlanIT(TestInfo test) {
        prefix = test.getTestMethod().orElseThrow().getName().replaceAll("[^a-z]", "-") + "-"
                + test.getDisplayName().hashCode() + ".";
        kafka = as("admin").topicPrefix(prefix);
    }

    @BeforeAll
    static void startBrokers() {
        brokers = EmbeddedKafka.builder()
                .nodes(3)
                .saslUser("admin", "secret")
                .saslUser("operator", "secret")
                .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
                .property("super.users", "User:admin;User:ANONYMOUS") // brokers among themselves have no name
                .start();
    }

    @AfterAll
    static void stopBrokers() {
        brokers.close();
    }

    private static KafkaCluster as(String user) {
        return KafkaCluster.of(Map.of(
                "bootstrap.servers",
                brokers.bootstrapServers(),
                "security.protocol",
                "SASL_PLAINTEXT",
                "sasl.mechanism",
                "PLAIN",
                "sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"%s\" password=\"secret\";"
                        .formatted(user)));
    }

    private Topics only(TopicSpec spec) {
        return TopicPlan.builder()
                .topics("kafka", TopicNaming.FREE, spec)
                .group("kafka", "calculator", spec)
                .build()
                .on(kafka);
    }

    private static TopicSpec asset(int partitions) {
        return TopicSpec.of("asset.events", partitions).retention(Duration.ofHours(24));
    }

    private static List<String> told(List<TopicFinding> findings) {
        return findings.stream().map(TopicFinding::what).toList();
    }

    /** A broker learns a moment later of what was done at another. */
    private static void assertPlanBecomes(Topics topics, String... whats) {
        Eventually.holds(() -> Set.copyOf(told(topics.plan())).equals(Set.of(whats)), topics::plan);
    }

    /** What the brokers themselves say, past the library. */
    private Map<String, Integer> partitions() throws Exception {
        try (Admin admin = kafka.admin()) {
            Set<String> names = new TreeSet<>(admin.listTopics().names().get());
            names.removeIf(name -> !name.startsWith(prefix));
            Map<String, Integer> partitions = new HashMap<>();
            admin.describeTopics(names)
                    .allTopicNames()
                    .get()
                    .forEach((name, topic) -> partitions.put(
                            kafka.logicalTopic(name), topic.partitions().size()));
            return partitions;
        }
    }

    @Test
    void a_plan_is_applied_once_and_is_empty_then() throws Exception {
        // region: use
        Topics topics = TOPICS.on(kafka);
        topics.plan().forEach(finding -> log.info("{}", finding.text()));
        topics.apply().forEach(finding -> log.info("mended: {}", finding.what()));
        // end: use
        assertPlanBecomes(topics);
        Eventually.holds(
                () -> partitions().equals(Map.of("asset.events", 3, "housing.events", 3, "dlq.events", 1)),
                () -> "not all are there");
        assertThat(topics.apply()).isEmpty();
        assertThat(topics.verify())
                .as("the plan of two replicas has one risk a topic, which is no difference")
                .hasSize(3)
                .allMatch(TopicFinding.Risk.class::isInstance);
    }

    @Test
    void a_plan_changes_nothing_and_tells_what_apply_will_do() throws Exception {
        Topics topics = TOPICS.on(kafka);

        assertThat(topics.plan())
                .allMatch(finding -> finding.fix().by() == Remedy.APPLY)
                .extracting(TopicFinding::what)
                .containsExactly(
                        "topic asset.events does not exist",
                        "topic housing.events does not exist",
                        "topic dlq.events does not exist");
        assertThat(partitions()).isEmpty();
    }

    @Test
    void what_can_be_mended_is_and_the_rest_is_told_until_a_person_has_done_it() {
        only(asset(3).minInsyncReplicas(1).compression("gzip")).apply();
        Topics topics = only(
                TopicSpec.of("asset.events", 3).retention(Duration.ofHours(48)).retentionBytes(1_000_000));

        List<TopicFinding> differing = topics.plan();
        assertThat(told(differing))
                .containsExactlyInAnyOrder(
                        "topic asset.events has min.insync.replicas=1, 2 is wanted",
                        "topic asset.events has compression.type=gzip, lz4 is wanted",
                        "topic asset.events has retention.ms=86400000, 172800000 is wanted",
                        "topic asset.events has retention.bytes=-1, 1000000 is wanted");

        assertThat(told(topics.apply()))
                .as("a limit in bytes would delete events")
                .containsExactlyInAnyOrder(
                        "topic asset.events has min.insync.replicas=1, 2 is wanted",
                        "topic asset.events has compression.type=gzip, lz4 is wanted",
                        "topic asset.events has retention.ms=86400000, 172800000 is wanted");
        assertPlanBecomes(topics, "topic asset.events has retention.bytes=-1, 1000000 is wanted");
        assertThat(topics.plan()).singleElement().satisfies(left -> {
            assertThat(left.fix().by()).isEqualTo(Remedy.BY_HAND);
            assertThat(left.text())
                    .contains(
                            "retention.bytes=-1, 1000000 is wanted",
                            "the broker would delete events",
                            "kafka-configs --bootstrap-server " + brokers.bootstrapServers()
                                    + " --command-config client.properties --alter --entity-type topics --entity-name "
                                    + prefix + "asset.events --add-config retention.bytes=1000000;");
        });
    }

    @Test
    void a_shorter_retention_another_cleanup_fewer_partitions_and_other_replicas_are_never_applied() throws Exception {
        only(asset(3)).apply();
        only(TopicSpec.of("dlq.events", 1)).apply();
        Topics topics =
                only(TopicSpec.of("asset.events", 2).replicationFactor(2).compactedAfter(Duration.ofDays(1)));
        Topics shorter = only(asset(3).retention(Duration.ofHours(1)));

        assertThat(topics.apply(GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION))
                .extracting(TopicFinding::what)
                .as("what keeps events for longer is applied")
                .containsExactly("topic asset.events has min.compaction.lag.ms=0, 86400000 is wanted");
        assertThat(shorter.apply(GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION)).isEmpty();

        assertPlanBecomes(
                topics,
                "topic asset.events has 3 partitions, 2 are wanted",
                "topic asset.events has 3 replicas, 2 are wanted",
                "topic asset.events has cleanup.policy=delete, compact is wanted");
        assertThat(topics.plan()).allMatch(finding -> finding.fix().by() == Remedy.BY_HAND);
        assertPlanBecomes(shorter, "topic asset.events has retention.ms=86400000, 3600000 is wanted");
        assertThat(partitions())
                .as("a topic that is in no plan is left alone, too")
                .isEqualTo(Map.of("asset.events", 3, "dlq.events", 1));
    }

    @Test
    void partitions_grow_only_when_that_is_said() throws Exception {
        only(asset(3)).apply();
        Topics grown = only(asset(6));

        assertThat(grown.apply()).isEmpty();
        assertThat(partitions()).containsEntry("asset.events", 3);
        assertThat(grown.verify())
                .singleElement()
                .satisfies(finding -> assertThat(finding.text())
                        .contains(
                                "topic asset.events has 3 partitions, 6 are wanted",
                                "Topics.apply(GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION)",
                                "--alter --topic '" + prefix.replace(".", "\\.") + "asset\\.events' --partitions 6;",
                                "OutboxAdmin.adoptPartitions(kafka, \"asset.events\", limit, \"calculator\")"));

        // region: grow
        grown.apply(GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION);
        // end: grow
        assertPlanBecomes(grown);
        Eventually.holds(() -> partitions().get("asset.events") == 6, () -> "it has not grown");
        assertThat(grown.apply(GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION)).isEmpty();
    }

    @Test
    void any_number_of_processes_apply_one_plan_and_each_change_is_counted_once() throws Exception {
        int processes = 6;
        List<String> mended = new ArrayList<>();
        ExecutorService threads = Executors.newFixedThreadPool(processes);
        try {
            List<Future<List<TopicFinding>>> answers = new ArrayList<>();
            for (int i = 0; i < processes; i++) {
                answers.add(threads.submit(() -> TOPICS.on(kafka).apply()));
            }
            for (Future<List<TopicFinding>> answer : answers) {
                mended.addAll(told(answer.get()));
            }
        } finally {
            threads.shutdownNow();
        }

        assertThat(mended)
                .containsExactlyInAnyOrder(
                        "topic asset.events does not exist",
                        "topic housing.events does not exist",
                        "topic dlq.events does not exist");
        assertPlanBecomes(TOPICS.on(kafka));
    }

    @Test
    void a_topic_that_somebody_else_creates_at_that_moment_is_mended_as_any_other() throws Exception {
        Topics topics = TopicPlan.builder()
                .topics("kafka", TopicNaming.FREE, asset(3))
                .build()
                .on(whereSomebodyIsFaster("createTopics", () -> createByHand("asset.events")));

        assertThat(told(topics.apply()))
                .contains("topic asset.events has compression.type=producer, lz4 is wanted")
                .doesNotContain("topic asset.events does not exist");

        assertPlanBecomes(
                topics,
                "topic asset.events has 1 partitions, 3 are wanted",
                "topic asset.events has retention.ms=604800000, 86400000 is wanted");
    }

    @Test
    void partitions_that_somebody_else_adds_at_that_moment_are_not_counted_and_do_no_harm() throws Exception {
        only(asset(3)).apply();
        Topics topics = TopicPlan.builder()
                .topics("kafka", TopicNaming.FREE, asset(6))
                .build()
                .on(whereSomebodyIsFaster(
                        "createPartitions", () -> only(asset(6)).apply(GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION)));

        assertThat(topics.apply(GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION)).isEmpty();
        assertPlanBecomes(topics);
    }

    /** What somebody does. */
    private interface Deed {
        void run() throws Exception;
    }

    /** The cluster, where something happens just before a call of an admin client. */
    private KafkaCluster whereSomebodyIsFaster(String call, Deed deed) {
        return Decorator.of(
                KafkaCluster.class,
                (method, arguments) ->
                        method.getName().equals("admin") ? adminBefore(call, deed) : method.invoke(kafka, arguments));
    }

    private Admin adminBefore(String call, Deed deed) {
        Admin admin = kafka.admin();
        return Decorator.of(Admin.class, (method, arguments) -> {
            if (method.getName().equals(call)) {
                deed.run();
            }
            return method.invoke(admin, arguments);
        });
    }

    @ParameterizedTest
    @MethodSource
    void a_missing_acl_is_named_with_what_was_done_until_then(
            AclOperation missing, List<AclOperation> allowed, String became) throws Exception {
        only(asset(3).compression("gzip")).apply();
        for (AclOperation operation : allowed) {
            allow(operation);
        }
        Topics topics = TopicPlan.builder()
                .topics(
                        "kafka",
                        TopicNaming.FREE,
                        asset(missing == AclOperation.ALTER ? 6 : 3),
                        TopicSpec.of("dlq.events", 1))
                .build()
                .on(as("operator").topicPrefix(prefix));

        assertThatExceptionOfType(KafkaAccessException.class)
                .isThrownBy(() -> topics.apply(GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION))
                .withMessageContainingAll(
                        brokers.bootstrapServers(),
                        "does not let this user do that with topic '" + prefix,
                        became,
                        "Ask for the ACL " + camelCase(missing) + " on it");
    }

    static Stream<Arguments> a_missing_acl_is_named_with_what_was_done_until_then() {
        String created = "Mended so far, and it stays: topic dlq.events does not exist";
        return Stream.of(
                Arguments.of(DESCRIBE, List.of(CREATE), "Nothing is known to be changed"),
                Arguments.of(DESCRIBE_CONFIGS, List.of(DESCRIBE, CREATE), "Nothing is known to be changed"),
                Arguments.of(
                        CREATE,
                        List.of(DESCRIBE, ALTER_CONFIGS),
                        "Mended so far, and it stays: topic asset.events has compression.type=gzip"),
                Arguments.of(ALTER_CONFIGS, List.of(DESCRIBE, DESCRIBE_CONFIGS, CREATE), created),
                Arguments.of(ALTER, List.of(DESCRIBE, CREATE, ALTER_CONFIGS), created));
    }

    @Test
    void what_was_created_beside_a_refused_topic_is_told() throws Exception {
        allow(DESCRIBE);
        allow(CREATE, "dlq.events");
        Topics topics = TOPICS.on(as("operator").topicPrefix(prefix));

        assertThatExceptionOfType(KafkaAccessException.class)
                .isThrownBy(topics::apply)
                .withMessageContainingAll(
                        "with topic '" + prefix + "asset.events'",
                        "Mended so far, and it stays: topic dlq.events does not exist; apply again",
                        "Ask for the ACL Create on it");
        assertThat(partitions()).isEqualTo(Map.of("dlq.events", 1));
    }

    @Test
    void a_refused_topic_does_not_keep_the_others_from_being_mended() throws Exception {
        TopicSpec letters = TopicSpec.of("dlq.events", 1);
        Topics.of(kafka, asset(3).compression("gzip"), letters.compression("gzip"))
                .apply();
        allow(DESCRIBE);
        allow(DESCRIBE_CONFIGS);
        allow(ALTER_CONFIGS, "dlq.events");
        Topics topics = Topics.of(as("operator").topicPrefix(prefix), asset(3), letters);

        assertThatExceptionOfType(KafkaAccessException.class)
                .isThrownBy(topics::apply)
                .withMessageContainingAll(
                        "with topic '" + prefix + "asset.events'",
                        "Mended so far, and it stays: topic dlq.events has compression.type=gzip, lz4 is wanted",
                        "Ask for the ACL AlterConfigs on it");
    }

    @Test
    void creating_topics_needs_no_right_to_read_their_settings() throws Exception {
        allow(DESCRIBE);
        allow(CREATE);

        assertThat(TOPICS.on(as("operator").topicPrefix(prefix)).provision())
                .containsExactly("asset.events", "housing.events", "dlq.events");
        assertThat(TOPICS.on(as("operator").topicPrefix(prefix)).provision()).isEmpty();
    }

    private static String camelCase(AclOperation operation) {
        return switch (operation) {
            case DESCRIBE_CONFIGS -> "DescribeConfigs";
            case ALTER_CONFIGS -> "AlterConfigs";
            default ->
                operation.name().charAt(0) + operation.name().substring(1).toLowerCase(Locale.ROOT);
        };
    }

    private void createByHand(String topic) throws Exception {
        try (Admin admin = kafka.admin()) {
            admin.createTopics(List.of(new NewTopic(kafka.physicalTopic(topic), 1, (short) 3)))
                    .all()
                    .get();
        }
    }

    private void allow(AclOperation operation) throws Exception {
        allow(new ResourcePattern(ResourceType.TOPIC, prefix, PatternType.PREFIXED), operation);
    }

    private void allow(AclOperation operation, String topic) throws Exception {
        allow(new ResourcePattern(ResourceType.TOPIC, kafka.physicalTopic(topic), PatternType.LITERAL), operation);
    }

    private void allow(ResourcePattern where, AclOperation operation) throws Exception {
        try (Admin admin = kafka.admin()) {
            admin.createAcls(List.of(new AclBinding(
                            where, new AccessControlEntry("User:operator", "*", operation, AclPermissionType.ALLOW))))
                    .all()
                    .get();
        }
    }

    @Test
    void a_cluster_that_is_not_there_is_named_and_nothing_is_half_done() {
        Topics topics = TOPICS.on(KafkaCluster.at("localhost:1")).timeout(Duration.ofMillis(300));

        assertThatExceptionOfType(KafkaAccessException.class)
                .isThrownBy(topics::plan)
                .withMessageContainingAll("localhost:1", "connection is refused", "Nothing was changed");
        assertThatExceptionOfType(KafkaAccessException.class)
                .isThrownBy(topics::apply)
                .withMessageContainingAll(
                        "localhost:1", "connection is refused", "Nothing is known to be changed; apply again");
    }

    @Test
    void a_service_refuses_to_start_with_the_exact_fix_and_starts_when_that_is_done() {
        Topics topics = TOPICS.on(kafka);
        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(() -> start(topics))
                .satisfies(refusal -> assertThat(refusal.code()).isEqualTo(ErrorCode.TOPICS_DIFFER))
                .withMessageStartingWith("EB-5024 Topics of Kafka cluster 'kafka' (" + brokers.bootstrapServers()
                        + ") were refused:\n  - topic asset.events does not exist; create it with Topics.provision() or apply(), or: "
                        + "kafka-topics --bootstrap-server " + brokers.bootstrapServers()
                        + " --command-config client.properties --create --if-not-exists --topic " + prefix
                        + "asset.events --partitions 3 --replication-factor 2 --config cleanup.policy=delete"
                        + " --config compression.type=lz4 --config min.insync.replicas=2 --config retention.bytes=10000000000"
                        + " --config retention.ms=86400000 --config unclean.leader.election.enable=false\n")
                .withMessageContainingAll(
                        "\n  - topic housing.events does not exist", "\n  - topic dlq.events does not exist");

        topics.apply();
        Eventually.holds(() -> catchThrowable(() -> start(topics)) == null, topics::verify);
    }

    private static void start(Topics topics) {
        // region: verify
        topics.requireAsSpecified();
        for (TopicFinding risk : topics.verify()) {
            log.warn("{}", risk.text());
        }
        // end: verify
    }
}
