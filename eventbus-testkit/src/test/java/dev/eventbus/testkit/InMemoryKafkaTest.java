package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.ConcurrentModificationException;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.utils.Utils;
import org.junit.jupiter.api.Test;

class InMemoryKafkaTest {

    private static final String TOPIC = "asset.events";
    private static final TopicPartition P0 = new TopicPartition(TOPIC, 0);
    private static final TopicPartition P1 = new TopicPartition(TOPIC, 1);

    private final InMemoryKafka kafka = InMemoryKafka.create();
    private final Producer<byte[], byte[]> producer = kafka.producer(Map.of());

    @Test
    void a_key_has_one_partition_kafkas_own_choice_and_keeps_its_order_there() {
        for (int i = 0; i < 30; i++) {
            send(producer, record("user-" + i % 5, "v" + i));
        }

        for (ConsumerRecord<byte[], byte[]> record : kafka.broker().records(List.of(TOPIC))) {
            assertThat(record.partition()).isEqualTo(Utils.toPositive(Utils.murmur2(record.key())) % 3);
        }
        assertThat(valuesOf("user-2")).containsExactly("v2", "v7", "v12", "v17", "v22", "v27");
    }

    @Test
    void a_send_is_acknowledged_before_it_returns() throws Exception {
        List<Long> offsets = new ArrayList<>();
        var ack = producer.send(
                new ProducerRecord<>(TOPIC, 1, bytes("k"), bytes("v")), (at, failure) -> offsets.add(at.offset()));

        assertThat(offsets).containsExactly(0L);
        assertThat(ack.get().timestamp()).isEqualTo(VirtualClock.START.toEpochMilli());
    }

    @Test
    void a_failed_send_tells_callback_and_future_and_writes_nothing() {
        kafka.broker().faults().fail(FaultPlan.Call.SEND_TO_TOPIC, TOPIC, 1);
        List<Exception> failures = new ArrayList<>();

        Future<?> failed = producer.send(record("k", "v1"), (at, failure) -> failures.add(failure));
        Future<?> next = producer.send(record("k", "v2"));

        assertThat(failures).singleElement().isInstanceOf(TimeoutException.class);
        assertThatThrownBy(failed::get)
                .isInstanceOf(ExecutionException.class)
                .hasCauseInstanceOf(TimeoutException.class);
        assertThat(next).succeedsWithin(Duration.ZERO);
        assertThat(valuesOf("k")).containsExactly("v2");
    }

    @Test
    void refuses_a_record_that_a_real_producer_finds_too_large() {
        Producer<byte[], byte[]> small = kafka.producer(Map.of("max.request.size", 200));

        assertThat(small.send(record("k", "x".repeat(90)))).succeedsWithin(Duration.ZERO);
        assertThatThrownBy(() -> small.send(record("k", "x".repeat(200))).get())
                .hasCauseInstanceOf(RecordTooLargeException.class);
    }

    @Test
    void what_is_read_shares_no_bytes_with_what_was_sent() {
        byte[] value = bytes("v");
        send(producer, new ProducerRecord<>(TOPIC, bytes("k"), value));
        value[0] = 'x';
        kafka.broker().records(List.of(TOPIC)).get(0).value()[0] = 'y';

        assertThat(valuesOf("k")).containsExactly("v");
    }

    @Test
    void without_a_reset_policy_a_missing_offset_and_one_out_of_range_are_the_callers_to_decide() {
        send(P0, "a", "b", "c");
        Consumer<byte[], byte[]> consumer = kafka.consumer(Map.of("auto.offset.reset", "none"));
        consumer.assign(Set.of(P0));

        assertThatThrownBy(() -> consumer.poll(Duration.ZERO))
                .isInstanceOfSatisfying(
                        NoOffsetForPartitionException.class,
                        e -> assertThat(e.partitions()).containsExactly(P0));
        consumer.seek(P0, 0);
        kafka.broker().deleteBefore(P0, 2);
        assertThatThrownBy(() -> consumer.poll(Duration.ZERO))
                .isInstanceOfSatisfying(
                        OffsetOutOfRangeException.class,
                        e -> assertThat(e.offsetOutOfRangePartitions()).containsExactly(Map.entry(P0, 0L)));
        assertThat(consumer.beginningOffsets(Set.of(P0))).containsEntry(P0, 2L);
        consumer.seek(P0, 2);
        assertThat(consumer.poll(Duration.ZERO).count()).isEqualTo(1);
    }

    @Test
    void what_was_read_of_one_partition_is_not_lost_when_another_is_out_of_range() {
        send(P0, "a");
        Consumer<byte[], byte[]> consumer = kafka.consumer(Map.of("auto.offset.reset", "none"));
        consumer.assign(List.of(P0, P1));
        consumer.seek(P0, 0);
        consumer.seek(P1, 1_000);
        List<String> read = new ArrayList<>();
        for (int poll = 0; poll < 2; poll++) {
            try {
                read.addAll(values(consumer.poll(Duration.ZERO)));
            } catch (OffsetOutOfRangeException e) {
                assertThat(e.offsetOutOfRangePartitions()).containsExactly(Map.entry(P1, 1_000L));
                consumer.seek(P1, 0);
            }
        }
        assertThat(read).containsExactly("a");
    }

    @Test
    void no_partition_is_starved_by_a_full_one() {
        send(P0, "a", "b", "c", "d");
        send(P1, "e");
        Consumer<byte[], byte[]> consumer =
                kafka.consumer(Map.of("auto.offset.reset", "earliest", "max.poll.records", 2));
        consumer.assign(List.of(P0, P1));

        assertThat(values(consumer.poll(Duration.ZERO))).containsExactly("a", "b");
        assertThat(values(consumer.poll(Duration.ZERO))).containsExactly("e", "c");
    }

    @Test
    void readers_of_committed_records_stop_at_an_open_transaction_and_pass_an_aborted_one() {
        Producer<byte[], byte[]> strict = transactional();
        strict.beginTransaction();
        send(strict, new ProducerRecord<>(TOPIC, 0, null, bytes("aborted")));
        send(P0, "after");
        Consumer<byte[], byte[]> reader =
                kafka.consumer(Map.of("auto.offset.reset", "earliest", "isolation.level", "read_committed"));
        reader.assign(Set.of(P0));

        assertThat(reader.poll(Duration.ZERO)).isEmpty();
        assertThat(reader.endOffsets(Set.of(P0))).containsEntry(P0, 0L);
        strict.abortTransaction();
        ConsumerRecords<byte[], byte[]> seen = reader.poll(Duration.ZERO);
        assertThat(values(seen)).containsExactly("after");
        assertThat(seen.nextOffsets())
                .as("behind the marker, which has an offset")
                .containsEntry(P0, new OffsetAndMetadata(3));
    }

    @Test
    void a_later_producer_of_one_transactional_id_fences_the_earlier_and_aborts_what_it_left_open() {
        Producer<byte[], byte[]> zombie = transactional();
        zombie.beginTransaction();
        send(zombie, record("k", "left open"));
        Producer<byte[], byte[]> successor = transactional();

        assertThatThrownBy(zombie::commitTransaction).isInstanceOf(ProducerFencedException.class);
        successor.beginTransaction();
        send(successor, record("k", "v"));
        successor.commitTransaction();
        assertThat(valuesOf("k")).containsExactly("v");
    }

    @Test
    void a_transaction_with_a_failed_send_can_only_be_aborted() {
        Producer<byte[], byte[]> strict = transactional();
        kafka.broker().faults().fail(FaultPlan.Call.SEND_TO_TOPIC, TOPIC, 1);
        strict.beginTransaction();
        assertThat(strict.send(record("k", "v"))).failsWithin(Duration.ZERO);

        assertThatThrownBy(strict::commitTransaction).hasMessageContaining("error state");
        strict.abortTransaction();
        strict.beginTransaction();
        assertThat(strict.send(record("k", "w"))).succeedsWithin(Duration.ZERO);
        strict.commitTransaction();
    }

    @Test
    void a_second_thread_is_refused_while_the_first_is_inside() throws Exception {
        ExecutorService other = Executors.newSingleThreadExecutor();
        try {
            List<Future<?>> calls = new ArrayList<>();
            Consumer<byte[], byte[]> consumer = kafka.consumer(settings("g"));
            consumer.subscribe(Set.of(TOPIC), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}

                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    Future<?> call = other.submit(() -> consumer.position(P0));
                    assertThat(call).failsWithin(Duration.ofSeconds(10));
                    calls.add(call);
                }
            });
            consumer.poll(Duration.ZERO);

            assertThatThrownBy(() -> calls.get(0).get()).hasCauseInstanceOf(ConcurrentModificationException.class);
        } finally {
            other.shutdownNow();
        }
    }

    @Test
    void refuses_what_it_does_not_imitate() {
        assertThatThrownBy(kafka::admin)
                .isInstanceOf(UnsupportedOperationException.class)
                .hasMessageContaining("admin() is not there on the in-memory cluster");
        assertThatThrownBy(() -> kafka.consumer(Map.of("group.id", "g")))
                .isInstanceOf(UnsupportedOperationException.class)
                .hasMessageContaining("enable.auto.commit");
    }

    @Test
    void clusters_made_from_it_share_topics_and_differ_in_prefix_and_name() {
        KafkaCluster staging = kafka.named("events").topicPrefix("staging.");

        assertThat(staging.name()).isEqualTo("events");
        assertThat(staging.physicalTopic(TOPIC)).isEqualTo("staging.asset.events");
        assertThat(staging.logicalTopic("staging.asset.events")).isEqualTo(TOPIC);
        send(staging.producer(Map.of()), record("k", "v"));
        assertThat(valuesOf("k")).containsExactly("v");
    }

    private Producer<byte[], byte[]> transactional() {
        Producer<byte[], byte[]> strict = kafka.producer(Map.of("transactional.id", "shard-1"));
        strict.initTransactions();
        return strict;
    }

    private static void send(Producer<byte[], byte[]> producer, ProducerRecord<byte[], byte[]> record) {
        assertThat(producer.send(record)).succeedsWithin(Duration.ZERO);
    }

    private void send(TopicPartition partition, String... values) {
        for (String value : values) {
            send(producer, new ProducerRecord<>(partition.topic(), partition.partition(), bytes("k"), bytes(value)));
        }
    }

    private List<String> valuesOf(String key) {
        return kafka.broker().records(List.of(TOPIC)).stream()
                .filter(record -> new String(record.key(), UTF_8).equals(key))
                .map(record -> new String(record.value(), UTF_8))
                .toList();
    }

    private static List<String> values(ConsumerRecords<byte[], byte[]> records) {
        List<String> values = new ArrayList<>();
        records.forEach(record -> values.add(new String(record.value(), UTF_8)));
        return values;
    }

    private static ProducerRecord<byte[], byte[]> record(String key, String value) {
        return new ProducerRecord<>(TOPIC, bytes(key), bytes(value));
    }

    private static Map<String, Object> settings(String group) {
        return Map.of("group.id", group, "enable.auto.commit", "false", "auto.offset.reset", "earliest");
    }

    private static byte[] bytes(String text) {
        return text.getBytes(UTF_8);
    }
}
