package dev.eventbus.outbox;

import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.KafkaFaults;
import java.time.Duration;
import org.apache.kafka.common.errors.TimeoutException;

/**
 * What keeps a topic from being written to, in words.
 *
 * @param text cluster, address, what becomes of the events, the fix
 * @param definite whether the broker has said so; silence may just mean that it has not answered yet
 */
record KafkaFault(String text, boolean definite) {

    static KafkaFault of(KafkaCluster kafka, String topic, Exception error) {
        // The client reports what the broker says about a topic as the cause of its own time-out.
        Throwable said = error instanceof TimeoutException && error.getCause() != null ? error.getCause() : error;
        boolean definite = !(said instanceof TimeoutException) || said instanceof Silence;
        String waiting = "events of topic %s wait in the outbox and lose nothing".formatted(kafka.physicalTopic(topic));
        return new KafkaFault(KafkaFaults.explain(kafka, said, waiting).getMessage(), definite);
    }

    /** A partition took events and acknowledged none for too long. */
    static final class Silence extends TimeoutException {

        private static final long serialVersionUID = 1;

        Silence(String topic, Duration limit) {
            super("a partition of %s has acknowledged nothing for %d s".formatted(topic, limit.toSeconds()));
        }
    }
}
