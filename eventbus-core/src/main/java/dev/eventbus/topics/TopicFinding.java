package dev.eventbus.topics;

import dev.eventbus.ErrorCode;
import org.jspecify.annotations.Nullable;

/** One way in which a topic differs from its {@link TopicSpec}, or puts a promise at risk although it does not differ. */
public sealed interface TopicFinding {

    /** Who can mend it. */
    enum Remedy {
        /** {@link Topics#apply()} does. */
        APPLY,
        /** {@link Topics#apply(GrowPartitions)} does, if it is told to. */
        APPLY_GROWING,
        /** Nobody but a person: Kafka cannot change it, or events could be lost or disks filled by the change. */
        BY_HAND
    }

    /**
     * What to do.
     *
     * @param by who can
     * @param text the call or the command, ready to be used
     */
    record Fix(Remedy by, String text) {}

    /** The logical name. */
    String topic();

    /** What was found. */
    String what();

    /** What to do about it. */
    Fix fix();

    /** What was found, what it means and what to do, in one line. */
    default String text() {
        return what() + "; " + fix().text();
    }

    /** The topic is not there. */
    record Missing(String topic, Fix fix) implements TopicFinding {
        @Override
        public String what() {
            return "topic %s does not exist".formatted(topic);
        }
    }

    /** Another number of partitions. */
    record PartitionCount(String topic, int wanted, int found, Fix fix) implements TopicFinding {
        @Override
        public String what() {
            return "topic %s has %d partitions, %d are wanted".formatted(topic, found, wanted);
        }
    }

    /**
     * Another number of replicas.
     *
     * @param found the fewest that a partition has
     */
    record Replication(String topic, int wanted, int found, Fix fix) implements TopicFinding {
        @Override
        public String what() {
            return "topic %s has %d replicas, %d are wanted".formatted(topic, found, wanted);
        }
    }

    /**
     * Another value of a setting; or the wanted one, but inherited from the broker, so that it changes with it.
     *
     * @param setting Kafka's name
     * @param found null if the broker does not know the setting
     */
    record Setting(
            String topic,
            String setting,
            String wanted,
            @Nullable String found,
            Fix fix) implements TopicFinding {
        @Override
        public String what() {
            return wanted.equals(found)
                    ? "topic %s has %s=%s from the broker's default only".formatted(topic, setting, found)
                    : "topic %s has %s=%s, %s is wanted".formatted(topic, setting, found, wanted);
        }
    }

    /** As the topic is, a promise holds only in part. Its text begins with {@link ErrorCode#REPLICATION_WEAK}. */
    record Risk(String topic, String what, Fix fix) implements TopicFinding {
        @Override
        public String text() {
            return ErrorCode.REPLICATION_WEAK.id() + " " + TopicFinding.super.text();
        }
    }
}
