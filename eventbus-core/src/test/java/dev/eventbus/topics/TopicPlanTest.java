package dev.eventbus.topics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.eventbus.StartRefusedException;
import dev.eventbus.topics.TopicComparison.Found;
import dev.eventbus.topics.TopicFinding.Remedy;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** What a plan refuses, and what it says about a topic that differs; without a cluster. */
class TopicPlanTest {

    private static final TopicSpec REQUESTED = TopicSpec.of("events.scan.requested", 6);
    private static final TopicSpec USERS = TopicSpec.of("cdc.auth.users", 3);
    private static final TopicSpec LETTERS = TopicSpec.of("dlq.events", 1);

    @Test
    void the_clusters_of_a_plan_are_told_apart_by_name() {
        TopicPlan plan = TopicPlan.builder()
                .topics("kafka-events", TopicNaming.EVENTS, REQUESTED)
                .topics("kafka-events", TopicNaming.FREE, LETTERS)
                .topics("kafka-cdc", TopicNaming.CDC, USERS)
                .build();
        KafkaCluster kafka = KafkaCluster.at("a:1");

        assertThat(plan.kafkaCommands(kafka.named("kafka-events")))
                .contains("--topic events.scan.requested ", "--topic dlq.events ")
                .doesNotContain("cdc.auth.users");
        assertThat(plan.kafkaCommands(kafka.named("kafka-cdc")))
                .contains("--topic cdc.auth.users ")
                .doesNotContain("dlq.events");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> plan.on(kafka))
                .withMessageContainingAll("no cluster 'kafka'", "[kafka-events, kafka-cdc]", "KafkaCluster.named");
    }

    @Test
    void all_that_is_wrong_with_a_plan_is_said_at_once() {
        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(() -> TopicPlan.builder()
                        .topics("kafka", TopicNaming.EVENTS, REQUESTED, REQUESTED, TopicSpec.of("events.Scan.done", 1))
                        .topics("kafka", TopicNaming.CDC, TopicSpec.of("cdc.users", 1))
                        .topics("kafka", TopicNaming.FREE, TopicSpec.of("events.scan_requested", 1))
                        .topics("other", TopicNaming.FREE, TopicSpec.of("b", 1).minInsyncReplicas(4))
                        .group("kafka", "reads.nothing")
                        .group("kafka", "twice", REQUESTED)
                        .group("kafka", "twice", REQUESTED)
                        .group("other", "elsewhere", REQUESTED)
                        .build())
                .withMessageContainingAll(
                        "topic events.Scan.done on kafka must be named events.<domain>.<event_type>",
                        "topic cdc.users on kafka must be named cdc.<schema>.<table>",
                        "topic events.scan.requested is specified twice",
                        "topics events.scan.requested and events.scan_requested on kafka differ only in dots and underscores",
                        "topic b wants 4 in-sync replicas of 3",
                        "group reads.nothing on kafka reads no topic",
                        "group twice on kafka is there twice",
                        "group elsewhere reads topic events.scan.requested, which the plan does not have on other");
        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(() -> TopicPlan.builder().build())
                .withMessageContaining("the plan has no topic");
    }

    @Test
    void a_bad_name_is_refused_at_once() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> TopicPlan.builder().topics("kafka.events", TopicNaming.FREE, LETTERS));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> TopicPlan.builder().group("kafka", " ", LETTERS));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> TopicPlan.builder().group("kafka", "a\nb", LETTERS))
                .withMessageContaining("'a\\u000ab'");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> TopicPlan.builder().group("kafka", "g".repeat(256), LETTERS));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> TopicPlan.builder().outbox("asset", " "));
    }

    @Test
    void the_topics_of_both_real_systems_follow_their_rules() {
        assertThat(TopicNaming.EVENTS)
                .matches(rule -> rule.allows("events.my.profile_updated"))
                .matches(rule -> rule.allows("events.scan.requested"))
                .matches(rule -> !rule.allows("events.scan"))
                .matches(rule -> !rule.allows("events.scan.requested.v2"))
                .matches(rule -> !rule.allows("events.scan.re-quested"))
                .matches(rule -> !rule.allows("asset.events"));
        assertThat(TopicNaming.CDC)
                .matches(rule -> rule.allows("cdc.character.character_ownerships"))
                .matches(rule -> rule.allows("cdc.my._archive"))
                .matches(rule -> !rule.allows("cdc.my.2024"))
                .matches(rule -> !rule.allows("cdcXmy.users"));
        assertThat(TopicNaming.FREE.allows("asset.events")).isTrue();
    }

    @Test
    void a_plan_does_not_change_with_what_it_was_made_of() {
        TopicSpec[] specs = {REQUESTED};
        TopicPlan.Builder builder = TopicPlan.builder().topics("kafka", TopicNaming.EVENTS, specs);
        TopicPlan plan = builder.build();
        specs[0] = USERS;
        builder.topics("kafka", TopicNaming.FREE, LETTERS);

        assertThat(plan.toString()).contains("events.scan.requested").doesNotContain("dlq.events", "cdc.auth.users");
    }

    @Test
    void what_would_delete_events_is_left_to_a_person_with_the_command_for_it() {
        TopicSpec spec = TopicSpec.of("t", 3).retention(Duration.ofHours(24)).retentionBytes(1_000);

        assertThat(fix(spec, "retention.ms", "172800000"))
                .returns(Remedy.BY_HAND, TopicFinding.Fix::by)
                .extracting(TopicFinding.Fix::text)
                .asString()
                .contains(
                        "the broker would delete events",
                        "kafka-configs --bootstrap-server a:1 --alter --entity-type topics --entity-name staging.t --add-config retention.ms=86400000;",
                        "if not, correct the TopicSpec");
        assertThat(fix(spec, "retention.ms", "-1").by()).isEqualTo(Remedy.BY_HAND);
        assertThat(fix(spec, "retention.bytes", "-1").by()).isEqualTo(Remedy.BY_HAND);
        assertThat(fix(spec, "cleanup.policy", "compact").by()).isEqualTo(Remedy.BY_HAND);
        assertThat(fix(TopicSpec.of("t", 3).maxMessageBytes(2_000), "max.message.bytes", "3000"))
                .returns(Remedy.BY_HAND, TopicFinding.Fix::by)
                .extracting(TopicFinding.Fix::text)
                .asString()
                .contains("events that wait in an outbox may be larger");
        TopicSpec compacted = TopicSpec.of("t", 3).compactedAfter(Duration.ofDays(1));
        assertThat(fix(compacted, "min.compaction.lag.ms", "172800000").by()).isEqualTo(Remedy.BY_HAND);
        assertThat(fix(compacted, "cleanup.policy", "delete").by()).isEqualTo(Remedy.BY_HAND);
    }

    @Test
    void a_topic_is_never_cleaned_up_in_another_way_without_the_bounds_of_that_way() {
        TopicSpec deleted = TopicSpec.of("t", 3);
        TopicSpec compacted = deleted.compactedAfter(Duration.ofDays(1));

        assertThat(fix(deleted, "cleanup.policy", "compact"))
                .returns(Remedy.BY_HAND, TopicFinding.Fix::by)
                .extracting(TopicFinding.Fix::text)
                .asString()
                .contains("--add-config cleanup.policy=delete,retention.bytes=-1,retention.ms=604800000;");
        assertThat(fix(compacted, "cleanup.policy", "delete").text())
                .contains("--add-config cleanup.policy=compact,min.compaction.lag.ms=86400000;");
        assertThat(fix(deleted, "cleanup.policy", "compact,delete").text())
                .as("bounds that hold already are not narrowed by the way")
                .endsWith("--add-config cleanup.policy=delete");
    }

    @Test
    void what_keeps_more_or_deletes_nothing_is_applied() {
        TopicSpec spec = TopicSpec.of("t", 3).retention(Duration.ofHours(24)).maxMessageBytes(4_000);

        assertThat(fix(spec, "retention.ms", "3600000").by()).isEqualTo(Remedy.APPLY);
        assertThat(fix(spec.retentionBytes(9_000), "retention.bytes", "5000").by())
                .isEqualTo(Remedy.APPLY);
        assertThat(fix(spec, "retention.bytes", "-1").by())
                .as("inherited only, deletes nothing")
                .isEqualTo(Remedy.APPLY);
        assertThat(fix(spec, "max.message.bytes", "3000").by()).isEqualTo(Remedy.APPLY);
        assertThat(fix(spec, "cleanup.policy", "compact, delete").by()).isEqualTo(Remedy.APPLY);
        assertThat(fix(spec, "compression.type", "producer").by()).isEqualTo(Remedy.APPLY);
        assertThat(fix(spec, "unclean.leader.election.enable", "true"))
                .returns(Remedy.APPLY, TopicFinding.Fix::by)
                .extracting(TopicFinding.Fix::text)
                .isEqualTo(
                        "set it with Topics.apply(), or: kafka-configs --bootstrap-server a:1 --alter --entity-type topics --entity-name staging.t --add-config unclean.leader.election.enable=false");
    }

    @Test
    void a_limit_in_bytes_of_which_the_spec_knows_nothing_is_left_to_a_person() {
        assertThat(fix(TopicSpec.of("t", 3), "retention.bytes", "10000000000"))
                .returns(Remedy.BY_HAND, TopicFinding.Fix::by)
                .extracting(TopicFinding.Fix::text)
                .asString()
                .contains("does not say retentionBytes", "--add-config retention.bytes=-1;", "correct the TopicSpec");
    }

    @Test
    void a_setting_that_would_stop_the_topic_or_that_the_broker_does_not_know_is_not_applied() {
        TopicSpec spec = TopicSpec.of("t", 3).minInsyncReplicas(2);
        Map<String, String> settings = new HashMap<>(spec.settings());
        settings.put("min.insync.replicas", "1");

        assertThat(fixes().setting(spec, "min.insync.replicas", "1", 1))
                .returns(Remedy.BY_HAND, TopicFinding.Fix::by)
                .extracting(TopicFinding.Fix::text)
                .asString()
                .contains("it has 1 replicas only");
        assertThat(fixes().setting(spec, "min.insync.replicas", "1", 2).by()).isEqualTo(Remedy.APPLY);
        assertThat(fixes().setting(spec, "compression.type", null, 3).by()).isEqualTo(Remedy.BY_HAND);
    }

    @Test
    void partitions_grow_on_purpose_only_and_never_shrink() {
        assertThat(fixes().partitions(TopicSpec.of("t", 6), 3))
                .returns(Remedy.APPLY_GROWING, TopicFinding.Fix::by)
                .extracting(TopicFinding.Fix::text)
                .asString()
                .contains(
                        "Topics.apply(GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION)",
                        "kafka-topics --bootstrap-server a:1 --alter --topic 'staging\\.t' --partitions 6;",
                        "OutboxAdmin.adoptPartitions(kafka, \"t\", limit, \"calculator\", \"ledger\") with these and every other group that reads it, in each outbox that publishes to it",
                        "any other producer lets keys change their partition");
        assertThat(fixes().partitions(TopicSpec.of("unread", 6), 3).text())
                .contains(
                        "adoptPartitions(kafka, \"unread\", limit, groups...) with every group that reads it, in each outbox that publishes to it");
        assertThat(fixes().partitions(TopicSpec.of("t", 3), 6))
                .returns(Remedy.BY_HAND, TopicFinding.Fix::by)
                .extracting(TopicFinding.Fix::text)
                .asString()
                .contains("cannot be taken away", "TopicSpec.of(\"t\", 6)");
        assertThat(fixes().replication(2))
                .returns(Remedy.BY_HAND, TopicFinding.Fix::by)
                .extracting(TopicFinding.Fix::text)
                .asString()
                .contains("kafka-reassign-partitions --bootstrap-server a:1 ", "replicationFactor(2)");
    }

    @Test
    void a_finding_says_what_was_found_and_the_fix_in_one_line() {
        TopicSpec spec = TopicSpec.of("t", 2);

        assertThat(TopicComparison.of(
                        spec, new Found(1, 3, spec.settings(), spec.settings().keySet()), fixes()))
                .singleElement()
                .satisfies(finding -> assertThat(finding.text())
                        .isEqualTo(finding.what() + "; " + finding.fix().text())
                        .startsWith("topic t has 1 partitions, 2 are wanted; add them")
                        .doesNotContain("\n"));
        assertThat(new TopicFinding.Missing("t", fixes().missing(spec)).text())
                .startsWith("topic t does not exist; create it with Topics.provision() or apply(), or: kafka-topics");
    }

    private static TopicFinding.Fix fix(TopicSpec spec, String setting, String found) {
        return fixes().setting(spec, setting, found, 3);
    }

    private static TopicFixes fixes() {
        KafkaCluster kafka = KafkaCluster.at("a:1").topicPrefix("staging.");
        return new TopicFixes(new KafkaCommands(kafka), Map.of("t", new TreeSet<>(Set.of("ledger", "calculator"))));
    }
}
