package dev.eventbus.consumer.internal;

import java.util.List;
import java.util.Optional;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.jspecify.annotations.Nullable;

/**
 * Whether Kafka keeps every letter of a dead-letter topic. Where it is compacted a letter takes the place of all that came before it with
 * its key, and they are gone.
 *
 * <p>One thread; nothing waits for Kafka.
 */
public final class LetterCleanup {

    private final ConfigResource topic;
    private @Nullable KafkaFuture<Config> asked;

    /** @param topic physical name */
    public LetterCleanup(String topic) {
        this.topic = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    /** Asks how the topic is cleaned up. */
    public void ask(Admin admin, int timeoutMillis) {
        asked = admin.describeConfigs(List.of(topic), new DescribeConfigsOptions().timeoutMs(timeoutMillis))
                .values()
                .get(topic);
    }

    /** Whether Kafka has answered what it was asked last. */
    public boolean hasAnswer() {
        return asked == null || asked.isDone();
    }

    /** What is wrong and its fix, in words. Empty while Kafka does not say: the topic is missing, or its settings may not be read. */
    public Optional<String> problem() {
        KafkaFuture<Config> answer = asked;
        if (answer == null || !answer.isDone()) {
            return Optional.empty();
        }
        return answer.toCompletionStage()
                .handle((config, failure) -> config == null ? null : config.get(TopicConfig.CLEANUP_POLICY_CONFIG))
                .thenApply(this::problemOf)
                .toCompletableFuture()
                .join();
    }

    private Optional<String> problemOf(@Nullable ConfigEntry policy) {
        if (policy == null || !String.valueOf(policy.value()).contains(TopicConfig.CLEANUP_POLICY_COMPACT)) {
            return Optional.empty();
        }
        return Optional.of(
                "dead-letter topic '%s' has cleanup.policy=%s: the broker deletes a letter once there is a later one of its key (P6); set cleanup.policy=delete"
                        .formatted(topic.name(), policy.value()));
    }
}
