package dev.eventbus.topics;

/** Said on purpose to {@link Topics#apply(GrowPartitions)}, which adds partitions to topics; without it none is added. */
public enum GrowPartitions {

    /**
     * Keys may change their partition, and then events of one key can be handled out of order around that moment. A relay of this
     * library goes on with the partitions that a topic had until {@code OutboxAdmin.adoptPartitions(kafka, topic, limit, groups...)}
     * has waited for the groups, so order holds there, if it is called for each outbox that publishes to the topic with every group that
     * reads it. Every other producer (Debezium, a console producer, a service of its own) uses the new count at once: stop it and let
     * the groups finish first. Partitions cannot be taken away again.
     */
    THOUGH_KEYS_CHANGE_PARTITION
}
