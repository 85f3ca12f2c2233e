package dev.eventbus;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.Random;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.header.Header;
import org.junit.jupiter.api.Test;

class EventRecordsTest {

    @Test
    void a_key_goes_where_kafkas_own_partitioner_would_send_it() {
        Random random = new Random(4711);
        for (int i = 0; i < 1_000; i++) {
            String key = random.ints(1 + random.nextInt(40), 1, 0x2000)
                    .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                    .toString();
            int partitions = 1 + random.nextInt(100);

            assertThat(EventRecords.partition(key, partitions))
                    .isEqualTo(BuiltInPartitioner.partitionForKey(key.getBytes(UTF_8), partitions));
        }
    }

    @Test
    void a_tombstone_keeps_its_headers() {
        EncodedEvent tombstone =
                new EncodedEvent("e-1", "T", "t", "k", null, "application/json", null, "a=b", Map.of("h", "\u00e9"));

        ProducerRecord<byte[], byte[]> record = EventRecords.of(tombstone, "t", 0);

        assertThat(record.value()).isNull();
        assertThat(record.headers())
                .extracting(Header::key)
                .containsExactly("id", "eventType", "contentType", "tracestate", "h");
        assertThat(record.headers().lastHeader("h").value()).isEqualTo("\u00e9".getBytes(UTF_8));
    }
}
