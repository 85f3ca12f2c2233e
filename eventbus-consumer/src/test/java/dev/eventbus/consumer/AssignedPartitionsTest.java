package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.P0;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AssignedPartitions.Partition;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.junit.jupiter.api.Test;

class AssignedPartitionsTest {

    private final List<InFlight> dropped = new ArrayList<>();
    private final AssignedPartitions assigned = new AssignedPartitions(
            new AssignedPartitions.Loop() {
                @Override
                public boolean pumpUntil(BooleanSupplier condition, Duration limit) {
                    return condition.getAsBoolean();
                }

                @Override
                public void commitNow(Collection<Partition> partitions) {}

                @Override
                public void dropped(Collection<InFlight> records) {
                    dropped.addAll(records);
                }

                @Override
                public Instant finishBy() {
                    return Instant.MIN;
                }
            },
            lane -> {},
            RunnerListener.NONE,
            Duration.ofSeconds(1));

    @Test
    void a_batch_that_was_not_taken_is_read_again_from_what_is_unfinished_before_it() {
        MockKafka.ScriptedConsumer consumer = new MockKafka.ScriptedConsumer();
        consumer.assign(List.of(P0));
        assigned.onPartitionsAssigned(List.of(P0));
        Partition partition = Objects.requireNonNull(assigned.get(P0));
        add(partition, 5); // runs, or waits
        partition.offsets().ended(add(partition, 6).slot());
        add(partition, 7); // the batch had come this far
        assigned.readAgain(consumer, new ConsumerRecords<>(Map.of(P0, List.of(record(7), record(8))), Map.of()));

        assertThat(consumer.position(P0)).isEqualTo(5);
        assertThat(assigned.isCurrent(partition)).isFalse();
        assertThat(assigned.get(P0)).isNotNull();
        assertThat(dropped).extracting(one -> one.record().offset()).contains(5L, 7L);
    }

    private InFlight add(Partition partition, long offset) {
        InFlight added = partition.register(record(offset));
        assigned.laneOf(partition, record(offset).key()).add(added);
        return added;
    }

    private static ConsumerRecord<byte[], byte[]> record(long offset) {
        return new ConsumerRecord<>(P0.topic(), P0.partition(), offset, ("k" + offset).getBytes(UTF_8), new byte[0]);
    }
}
