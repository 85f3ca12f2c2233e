package dev.eventbus.consumer.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.CorruptRecordException;
import org.apache.kafka.common.errors.RecordDeserializationException;
import org.apache.kafka.common.errors.RecordDeserializationException.DeserializationExceptionOrigin;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class UnreadableTest {

    private static final TopicPartition P1 = new TopicPartition("asset.events", 1);

    private static final List<TopicPartition> ASSIGNED = List.of(
            P1,
            new TopicPartition("asset.events", 12),
            new TopicPartition("old.asset.events", 1),
            new TopicPartition("asset.events-1.copy", 0));

    /** As kafka-clients says it. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "Received exception when fetching the next record from asset.events-1. If needed, please seek past the record to continue consumption.",
                "Record batch for partition asset.events-1 at offset 7 is invalid, cause: Record is corrupt (stored crc = 1, computed crc = 2)",
                "Record for partition asset.events-1 at offset 7 is invalid, cause: Record is corrupt",
                "Encountered corrupt message when fetching offset 7 for topic-partition asset.events-1",
                "Unexpected error code 99 while fetching at offset 7 from topic-partition asset.events-1",
            })
    void the_partition_that_the_client_names_is_found(String text) {
        assertThat(Unreadable.partitionOf(new KafkaException(text), ASSIGNED)).isEqualTo(P1);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "asset.events-1 and asset.events-12",
                "asset.events-1.1",
                "asset.events-11",
                "my-asset.events-1",
                "nobody",
                ""
            })
    void where_no_partition_or_more_than_one_is_named_none_is_told_apart(String text) {
        assertThat(Unreadable.partitionOf(new KafkaException(text), ASSIGNED)).isNull();
    }

    @Test
    void one_that_says_its_partition_itself_is_believed_if_that_is_assigned() {
        assertThat(Unreadable.partitionOf(undecodable(P1), ASSIGNED)).isEqualTo(P1);
        assertThat(Unreadable.partitionOf(undecodable(P1), List.of())).isNull();
    }

    @Test
    void the_reason_is_a_class_and_no_bytes_of_a_record() {
        assertThat(Unreadable.reasonOf(new KafkaException("x", new CorruptRecordException("crc"))))
                .isEqualTo(CorruptRecordException.class.getName());
        assertThat(Unreadable.reasonOf(new KafkaException("x"))).isEqualTo(KafkaException.class.getName());
    }

    private static RecordDeserializationException undecodable(TopicPartition partition) {
        return new RecordDeserializationException(
                DeserializationExceptionOrigin.VALUE,
                partition,
                7,
                0,
                TimestampType.CREATE_TIME,
                null,
                null,
                new RecordHeaders(),
                "no",
                new IllegalStateException());
    }
}
