package dev.eventbus.topics;

import org.jspecify.annotations.Nullable;

/** One way in which a topic differs from its {@link TopicSpec}, or puts a promise at risk although it does not differ. */
public sealed interface TopicFinding {

    /** The logical name. */
    String topic();

    /** What was found, what it means and what to do, in one line. */
    String text();

    /** The topic is not there. */
    record Missing(String topic) implements TopicFinding {
        @Override
        public String text() {
            return "topic %s does not exist; create it, for instance with Topics.provision()".formatted(topic);
        }
    }

    /** Another number of partitions. */
    record PartitionCount(String topic, int wanted, int found) implements TopicFinding {
        @Override
        public String text() {
            return found < wanted
                    ? "topic %s has %d partitions, %d are wanted; add them, then let the relay adopt them, or order of a key would change in between"
                            .formatted(topic, found, wanted)
                    : "topic %s has %d partitions, %d are wanted; partitions cannot be taken away, so correct the TopicSpec"
                            .formatted(topic, found, wanted);
        }
    }

    /**
     * Another number of replicas.
     *
     * @param found the fewest that a partition has
     */
    record Replication(String topic, int wanted, int found) implements TopicFinding {
        @Override
        public String text() {
            return "topic %s has %d replicas, %d are wanted; reassign its partitions, or correct the TopicSpec"
                    .formatted(topic, found, wanted);
        }
    }

    /**
     * Another value of a setting.
     *
     * @param setting Kafka's name
     * @param found null if the broker does not know the setting
     */
    record Setting(
            String topic,
            String setting,
            String wanted,
            @Nullable String found) implements TopicFinding {
        @Override
        public String text() {
            return "topic %s has %s=%s, %s is wanted; alter the topic, or correct the TopicSpec"
                    .formatted(topic, setting, found, wanted);
        }
    }

    /** As the topic is, a promise holds only in part. */
    record Risk(String topic, String text) implements TopicFinding {}
}
