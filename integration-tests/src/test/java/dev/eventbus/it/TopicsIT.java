package dev.eventbus.it;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.eventbus.KafkaAccessException;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicFinding;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.time.Duration;
import java.util.List;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Topics as code, against a broker. */
@ExtendWith(ServersExtension.class)
class TopicsIT {

    private static final TopicSpec ASSET_EVENTS = TopicSpec.of("asset.events", 3)
            .replicationFactor(1)
            .retention(Duration.ofHours(24))
            .retentionBytes(10_000_000_000L);
    private static final TopicSpec DEAD_LETTERS = TopicSpec.of("dlq.events", 1).replicationFactor(1);

    @Test
    void creates_what_is_missing_once_and_finds_it_as_specified(KafkaServer server) {
        KafkaCluster kafka = clusterOfItsOwn(server);
        Topics topics = Topics.of(kafka, ASSET_EVENTS, DEAD_LETTERS);
        assertThat(topics.verify())
                .extracting(TopicFinding::what)
                .containsExactly("topic asset.events does not exist", "topic dlq.events does not exist");

        assertThat(Topics.of(kafka, DEAD_LETTERS).provision()).containsExactly("dlq.events");
        assertThat(topics.provision()).containsExactly("asset.events");
        assertThat(topics.provision()).isEmpty();

        assertThat(topics.verify())
                .as("on one broker there is nothing to say but that it is one")
                .hasSize(2)
                .allSatisfy(finding -> assertThat(finding).isInstanceOf(TopicFinding.Risk.class))
                .allSatisfy(finding -> assertThat(finding.text()).contains("one lost disk loses acknowledged events"));
    }

    @Test
    void leaves_a_topic_that_differs_as_it_is_and_says_how_it_differs(KafkaServer server) {
        KafkaCluster kafka = clusterOfItsOwn(server);
        Topics.of(kafka, ASSET_EVENTS).provision();
        Topics others = Topics.of(
                kafka, TopicSpec.of("asset.events", 6).replicationFactor(1).compactedAfter(Duration.ofDays(30)));

        assertThat(others.provision()).isEmpty();

        assertThat(others.verify())
                .filteredOn(finding -> !(finding instanceof TopicFinding.Risk))
                .extracting(TopicFinding::what)
                .containsExactlyInAnyOrder(
                        "topic asset.events has 3 partitions, 6 are wanted",
                        "topic asset.events has cleanup.policy=delete, compact is wanted",
                        "topic asset.events has min.compaction.lag.ms=0, 2592000000 is wanted");
    }

    @Test
    void says_that_there_are_too_few_brokers_for_the_replicas(KafkaServer server) {
        assertThatExceptionOfType(KafkaAccessException.class)
                .isThrownBy(() -> Topics.of(
                                clusterOfItsOwn(server),
                                TopicSpec.of("asset.events", 3).replicationFactor(100))
                        .provision())
                .withMessageContainingAll("too few brokers", "Nothing existing was altered", "fewer replicas");
    }

    @Test
    void a_clusters_own_defaults_decide_nothing() {
        try (EmbeddedKafka server = EmbeddedKafka.builder()
                .property("log.cleanup.policy", "compact,delete")
                .property("log.retention.ms", "60000")
                .start()) {
            KafkaCluster kafka = KafkaCluster.at(server.bootstrapServers());
            Topics topics = Topics.of(kafka, ASSET_EVENTS);
            topics.provision();
            createByHand(kafka, "dlq.events");
            Topics byHand = Topics.of(kafka, DEAD_LETTERS);
            Eventually.holds( // the broker answers before it knows of the topic itself
                    () -> byHand.verify().stream().noneMatch(TopicFinding.Missing.class::isInstance), byHand::verify);

            assertThat(topics.verify()).allMatch(finding -> finding instanceof TopicFinding.Risk);
            assertThat(byHand.verify())
                    .extracting(TopicFinding::what)
                    .contains(
                            "topic dlq.events has cleanup.policy=compact,delete, delete is wanted",
                            "topic dlq.events has retention.ms=60000, 604800000 is wanted");
        }
    }

    /** A prefix keeps what tests create apart on a shared server. */
    private static KafkaCluster clusterOfItsOwn(KafkaServer server) {
        return KafkaCluster.at(server.bootstrapServers()).topicPrefix(server.uniqueName("topics") + ".");
    }

    private static void createByHand(KafkaCluster kafka, String topic) {
        try (Admin admin = kafka.admin()) {
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1)))
                    .all()
                    .toCompletionStage()
                    .toCompletableFuture()
                    .join();
        }
    }
}
