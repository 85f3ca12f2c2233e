package dev.eventbus.topics;

import dev.eventbus.internal.Checks;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.Locale;
import java.util.UUID;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** Resources of kind {@code KafkaTopic}. */
final class StrimziTopics {

    /** RFC 1123, as Kubernetes wants names of such resources; at most {@value #MAX_NAME} characters. */
    private static final Pattern RESOURCE_NAME =
            Pattern.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*");

    private static final int MAX_NAME = 253;
    private static final int MAX_LABEL = 63;

    private final KafkaCluster kafka;
    private final String strimziCluster;

    StrimziTopics(KafkaCluster kafka, String strimziCluster) {
        if (!RESOURCE_NAME.matcher(strimziCluster).matches() || strimziCluster.length() > MAX_LABEL) {
            throw new IllegalArgumentException(
                    "strimziCluster must be a Kubernetes name (at most %d of a-z 0-9 - ., first and last a letter or digit), was '%s'"
                            .formatted(MAX_LABEL, Checks.printable(strimziCluster)));
        }
        this.kafka = kafka;
        this.strimziCluster = strimziCluster;
    }

    String yaml(Collection<TopicSpec> specs) {
        return specs.stream().map(this::yaml).collect(Collectors.joining("---\n"));
    }

    private String yaml(TopicSpec spec) {
        String topic = kafka.physicalTopic(spec.name());
        String config = spec.settings().entrySet().stream()
                .map(setting -> "    %s: %s\n".formatted(setting.getKey(), Quoted.yaml(setting.getValue())))
                .collect(Collectors.joining());
        return """
                apiVersion: kafka.strimzi.io/v1
                kind: KafkaTopic
                metadata:
                  name: %s
                  labels:
                    strimzi.io/cluster: %s
                spec:
                  topicName: %s
                  partitions: %d
                  replicas: %d
                  config:
                %s""".formatted(
                        Quoted.yaml(resourceName(topic)),
                        Quoted.yaml(strimziCluster),
                        Quoted.yaml(topic),
                        spec.partitions(),
                        spec.replicationFactor(),
                        config);
    }

    /** The topic's own name where Kubernetes allows it; else one like it, with a mark so that no two are the same. */
    private static String resourceName(String topic) {
        if (RESOURCE_NAME.matcher(topic).matches()) {
            return topic;
        }
        String like =
                topic.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-").replaceAll("^-|-$", "");
        String mark = UUID.nameUUIDFromBytes(topic.getBytes(StandardCharsets.UTF_8))
                .toString()
                .substring(0, 8);
        String start = like.substring(0, Math.min(like.length(), MAX_NAME - mark.length() - 1));
        return start.isEmpty() ? mark : start + "-" + mark;
    }
}
