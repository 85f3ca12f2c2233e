package dev.eventbus.topics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.eventbus.KafkaAccessException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.topics.TopicComparison.Found;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;

class TopicSpecTest {

    private static final TopicSpec ASSET_EVENTS = TopicSpec.of("asset.events", 3)
            .replicationFactor(2)
            .retention(Duration.ofHours(24))
            .retentionBytes(10_000_000_000L);

    @Test
    void writes_every_setting_down_instead_of_inheriting_it() {
        assertThat(TopicSpec.of("t", 6).settings())
                .isEqualTo(Map.of(
                        "cleanup.policy", "delete",
                        "compression.type", "lz4",
                        "min.insync.replicas", "2",
                        "retention.bytes", "-1",
                        "retention.ms", "604800000",
                        "unclean.leader.election.enable", "false"));
        assertThat(TopicSpec.of("t", 6))
                .returns(6, TopicSpec::partitions)
                .returns(3, TopicSpec::replicationFactor)
                .returns(2, TopicSpec::minInsyncReplicas)
                .returns(Optional.of(Duration.ofDays(7)), TopicSpec::retention);
    }

    @Test
    void the_topics_of_both_real_systems_can_be_specified() {
        assertThat(ASSET_EVENTS.settings())
                .containsEntry("retention.ms", "86400000")
                .containsEntry("retention.bytes", "10000000000")
                .containsEntry("min.insync.replicas", "2");
        TopicSpec requested = TopicSpec.of("events.scan.requested", 6).compactedAfter(Duration.ofDays(30));
        assertThat(requested.settings())
                .containsEntry("cleanup.policy", "compact")
                .containsEntry("min.compaction.lag.ms", "2592000000");
        assertThat(requested.compactionLag()).hasValue(Duration.ofDays(30));
        assertThat(ASSET_EVENTS.compactionLag()).isEmpty();
        TopicSpec logs = TopicSpec.of("logs.app.api", 12)
                .replicationFactor(1)
                .retention(Duration.ofDays(1))
                .compression("zstd")
                .maxMessageBytes(2_000_000);
        assertThat(logs.settings())
                .containsEntry("min.insync.replicas", "1")
                .containsEntry("compression.type", "zstd")
                .containsEntry("max.message.bytes", "2000000");
        assertThat(logs.maxMessageBytes()).hasValue(2_000_000);
        assertThat(ASSET_EVENTS.maxMessageBytes()).isEmpty();
    }

    @Test
    void a_bad_value_is_refused_at_once() {
        TopicSpec spec = TopicSpec.of("t", 1);

        assertThatIllegalArgumentException().isThrownBy(() -> TopicSpec.of("a topic", 1));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> TopicSpec.of("t", 0))
                .withMessageContaining("partitions of t");
        assertThatIllegalArgumentException().isThrownBy(() -> spec.replicationFactor(0));
        assertThatIllegalArgumentException().isThrownBy(() -> spec.minInsyncReplicas(0));
        assertThatIllegalArgumentException().isThrownBy(() -> spec.retention(Duration.ZERO));
        assertThatIllegalArgumentException().isThrownBy(() -> spec.retentionBytes(0));
        assertThatIllegalArgumentException().isThrownBy(() -> spec.compactedAfter(Duration.ZERO));
        assertThatIllegalArgumentException().isThrownBy(() -> spec.maxMessageBytes(10));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> spec.compression("lzma"))
                .withMessageContaining("lz4")
                .withMessageContaining("'lzma'");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Topics.of(KafkaCluster.at("a:1"), spec).timeout(Duration.ZERO));
    }

    /** Kafka counts in milliseconds: less than one would delete all at once, and more than a long holds is none. */
    @Test
    void a_time_that_is_no_number_of_milliseconds_is_refused() {
        TopicSpec spec = TopicSpec.of("t", 1);
        for (Duration time : List.of(Duration.ofNanos(999_999), Duration.ofSeconds(Long.MAX_VALUE))) {
            assertThatIllegalArgumentException()
                    .isThrownBy(() -> spec.retention(time))
                    .withMessageContainingAll("retention of t", time.toString());
            assertThatIllegalArgumentException()
                    .isThrownBy(() -> spec.compactedAfter(time))
                    .withMessageContainingAll("compactedAfter of t", time.toString());
        }
        assertThat(spec.retention(Duration.ofMillis(1)).retention()).hasValue(Duration.ofMillis(1));
    }

    @Test
    void all_contradictions_are_said_at_once() {
        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(() -> Topics.of(
                        KafkaCluster.at("a:1"),
                        TopicSpec.of("a", 1).replicationFactor(1).minInsyncReplicas(2),
                        TopicSpec.of("b", 1).compactedAfter(Duration.ofDays(1)).retention(Duration.ofDays(1)),
                        TopicSpec.of("c", 1),
                        TopicSpec.of("c", 2)))
                .withMessageContainingAll(
                        "topic a wants 2 in-sync replicas of 1", "topic b is compacted", "topic c is specified twice");
    }

    @Test
    void a_topic_as_specified_has_no_finding() {
        TopicSpec spec = TopicSpec.of("t", 3);

        assertThat(compare(
                        spec, new Found(3, 3, spec.settings(), spec.settings().keySet())))
                .isEmpty();
    }

    @Test
    void a_compacted_topic_has_no_retention_that_could_differ() {
        TopicSpec spec = TopicSpec.of("t", 3).compactedAfter(Duration.ofDays(30));
        assertThat(spec.settings()).doesNotContainKeys("retention.ms", "retention.bytes");
        assertThat(spec.retention()).isEmpty();
        Map<String, String> settings = new HashMap<>(spec.settings());
        settings.put("retention.ms", "2592000000");
        settings.put("retention.bytes", "1000");

        assertThat(compare(spec, new Found(3, 3, settings, spec.settings().keySet())))
                .isEmpty();

        settings.put("cleanup.policy", "delete");
        assertThat(compare(spec, new Found(3, 3, settings, spec.settings().keySet())))
                .as("no command that shortens the retention while it still applies")
                .singleElement()
                .extracting(TopicFinding::text)
                .asString()
                .contains("--add-config cleanup.policy=compact,min.compaction.lag.ms=2592000000;")
                .doesNotContain("retention");
    }

    @Test
    void a_setting_that_is_only_inherited_is_written_down() {
        TopicSpec spec = TopicSpec.of("t", 3);
        Set<String> written = new HashSet<>(spec.settings().keySet());
        written.remove("cleanup.policy");

        assertThat(compare(spec, new Found(3, 3, spec.settings(), written)))
                .singleElement()
                .returns(TopicFinding.Remedy.APPLY, finding -> finding.fix().by())
                .extracting(TopicFinding::what)
                .isEqualTo("topic t has cleanup.policy=delete from the broker's default only");
    }

    @Test
    void every_difference_is_found() {
        TopicSpec spec = TopicSpec.of("t", 3).compactedAfter(Duration.ofDays(30));
        Map<String, String> settings = new HashMap<>(spec.settings());
        settings.put("cleanup.policy", "compact,delete");
        settings.put("unclean.leader.election.enable", "true");
        settings.remove("min.compaction.lag.ms");

        assertThat(compare(spec, new Found(2, 4, settings, spec.settings().keySet())))
                .extracting(TopicFinding::what)
                .containsExactlyInAnyOrder(
                        "topic t has 2 partitions, 3 are wanted",
                        "topic t has 4 replicas, 3 are wanted",
                        "topic t has cleanup.policy=compact,delete, compact is wanted",
                        "topic t has unclean.leader.election.enable=true, false is wanted",
                        "topic t has min.compaction.lag.ms=null, 2592000000 is wanted");
    }

    @Test
    void replicas_that_stop_the_wire_or_lose_events_are_a_risk() {
        assertThat(risks(2, 2))
                .singleElement()
                .asString()
                .contains("when one broker dies nothing is acknowledged", "replication factor 3");
        assertThat(risks(3, 1)).singleElement().asString().contains("on one disk only");
        assertThat(risks(1, 1)).singleElement().asString().contains("one lost disk loses acknowledged events");
        assertThat(risks(1, 2))
                .singleElement()
                .asString()
                .startsWith("EB-1008 topic t has one replica, whatever min.insync.replicas=2 says: one lost disk");
        assertThat(risks(3, 2)).isEmpty();
    }

    @Test
    void a_cluster_that_is_not_there_is_named_within_the_timeout() {
        Topics topics = Topics.of(KafkaCluster.at("localhost:1"), ASSET_EVENTS).timeout(Duration.ofMillis(300));

        assertThatExceptionOfType(KafkaAccessException.class)
                .isThrownBy(topics::verify)
                .withMessageContainingAll("localhost:1", "connection is refused", "Nothing was changed");
        assertThatExceptionOfType(KafkaAccessException.class)
                .isThrownBy(topics::provision)
                .withMessageContainingAll("localhost:1", "connection is refused", "Nothing existing was altered");
    }

    private static List<String> risks(int replicas, int minInsync) {
        TopicSpec spec = TopicSpec.of("t", 1).replicationFactor(replicas).minInsyncReplicas(minInsync);
        return compare(
                        spec,
                        new Found(1, replicas, spec.settings(), spec.settings().keySet()))
                .stream()
                .map(TopicFinding::text)
                .toList();
    }

    private static List<TopicFinding> compare(TopicSpec spec, Found found) {
        return TopicComparison.of(spec, found, new TopicFixes(new KafkaCommands(KafkaCluster.at("a:1")), Map.of()));
    }
}
