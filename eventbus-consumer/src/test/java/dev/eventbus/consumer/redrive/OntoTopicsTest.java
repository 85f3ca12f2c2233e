package dev.eventbus.consumer.redrive;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import java.util.List;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.DisconnectException;
import org.apache.kafka.common.errors.NotEnoughReplicasAfterAppendException;
import org.apache.kafka.common.errors.OutOfOrderSequenceException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.junit.jupiter.api.Test;

class OntoTopicsTest {

    @Test
    void only_what_kafka_has_refused_is_known_not_to_be_there() {
        for (KafkaException refusal : List.of(new RecordTooLargeException(), new TopicAuthorizationException("no"))) {
            assertThat(OntoTopics.isRefused(saying(refusal)))
                    .as(refusal.toString())
                    .isTrue();
        }
        for (Exception unknown : List.of(
                new TimeoutException(),
                new DisconnectException(),
                new NotEnoughReplicasAfterAppendException("written, and not by all"),
                new OutOfOrderSequenceException("?"),
                new KafkaException("?"),
                new java.util.concurrent.TimeoutException(),
                new InterruptedException())) {
            assertThat(OntoTopics.isRefused(saying(unknown)))
                    .as(unknown.toString())
                    .isFalse();
        }
    }

    private static KafkaAccessException saying(Exception cause) {
        return new KafkaAccessException(ErrorCode.NO_ANSWER, "test", "no answer", new ExecutionException(cause));
    }
}
