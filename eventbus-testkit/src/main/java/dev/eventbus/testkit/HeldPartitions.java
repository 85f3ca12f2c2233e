package dev.eventbus.testkit;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/**
 * The partitions that a consumer has, where it reads in each, and which are paused. Belongs to the consumer's thread.
 *
 * <p>A position comes from the committed offset, else from {@code auto.offset.reset}; with {@code none} it is the caller's to
 * decide, so the want of one and an offset out of range are thrown, as Kafka's own consumer does.
 */
final class HeldPartitions {

    private static final class Held {
        @Nullable
        Long position;

        boolean paused;
    }

    private final InMemoryBroker broker;
    private final @Nullable String group;
    private final String resetPolicy;
    private final boolean committedOnly;
    private final int maxPollRecords;

    private final Map<TopicPartition, Held> held = new TreeMap<>(GroupState.BY_NAME);
    private int turn;

    HeldPartitions(InMemoryBroker broker, @Nullable String group, Map<String, Object> settings) {
        this.broker = broker;
        this.group = group;
        this.resetPolicy = String.valueOf(settings.getOrDefault(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "latest"));
        this.committedOnly = "read_committed".equals(settings.get(ConsumerConfig.ISOLATION_LEVEL_CONFIG));
        this.maxPollRecords =
                Integer.parseInt(String.valueOf(settings.getOrDefault(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 500)));
    }

    Set<TopicPartition> all() {
        return Set.copyOf(held.keySet());
    }

    void add(Collection<TopicPartition> partitions) {
        partitions.forEach(partition -> held.putIfAbsent(partition, new Held()));
    }

    void remove(Collection<TopicPartition> partitions) {
        held.keySet().removeAll(partitions);
    }

    void retain(Collection<TopicPartition> partitions) {
        held.keySet().retainAll(partitions);
    }

    void setPaused(Collection<TopicPartition> partitions, boolean paused) {
        partitions.forEach(partition -> held(partition).paused = paused);
    }

    Set<TopicPartition> paused() {
        return all().stream().filter(partition -> held(partition).paused).collect(Collectors.toSet());
    }

    void seek(TopicPartition partition, long offset) {
        broker.active();
        held(partition).position = offset;
    }

    long position(TopicPartition partition) {
        Held state = held(partition);
        if (state.position == null) {
            findPositions();
        }
        return position(state);
    }

    OptionalLong lag(TopicPartition partition) {
        Held state = held(partition);
        return state.position == null ? OptionalLong.empty() : OptionalLong.of(end(partition) - state.position);
    }

    /** The end as this consumer sees it: an open transaction hides what is behind its first record. */
    long end(TopicPartition partition) {
        return broker.end(partition, committedOnly);
    }

    /** Gives every partition without a position the one to begin with, paused or not. */
    void findPositions() {
        List<TopicPartition> without = new ArrayList<>();
        held.forEach((partition, state) -> {
            if (state.position == null) {
                state.position = firstPosition(partition);
            }
            if (state.position == null) {
                without.add(partition);
            }
        });
        if (!without.isEmpty()) {
            throw new NoOffsetForPartitionException(without);
        }
    }

    /** Takes from one partition after the other, each time beginning with the next, so that none is starved. */
    ConsumerRecords<byte[], byte[]> fetch() {
        Map<TopicPartition, List<ConsumerRecord<byte[], byte[]>>> records = new LinkedHashMap<>();
        Map<TopicPartition, OffsetAndMetadata> nextOffsets = new HashMap<>();
        List<TopicPartition> order = new ArrayList<>(held.keySet());
        int room = maxPollRecords;
        for (int i = 0; i < order.size() && room > 0; i++) {
            TopicPartition partition = order.get((turn + i) % order.size());
            Held state = held(partition);
            if (!state.paused && !broker.faults().isDown(partition)) {
                PartitionLog.Fetched fetched;
                try {
                    fetched = fetch(partition, state, room);
                } catch (OffsetOutOfRangeException e) {
                    if (nextOffsets.isEmpty()) {
                        throw e;
                    }
                    break; // what was read is not to be lost; the next poll throws
                }
                room -= fetched.records().size();
                if (!fetched.records().isEmpty()) {
                    records.put(partition, fetched.records());
                }
                if (fetched.nextOffset() > position(state)) {
                    broker.active();
                    state.position = fetched.nextOffset();
                    nextOffsets.put(partition, new OffsetAndMetadata(fetched.nextOffset()));
                }
            }
        }
        turn = order.isEmpty() ? 0 : (turn + 1) % order.size();
        return new ConsumerRecords<>(records, nextOffsets);
    }

    private PartitionLog.Fetched fetch(TopicPartition partition, Held state, int limit) {
        long from = position(state);
        PartitionLog.Fetched fetched = broker.read(partition, from, limit, committedOnly);
        if (fetched != null) {
            return fetched;
        }
        Long reset = reset(partition);
        if (reset == null) {
            throw new OffsetOutOfRangeException(Map.of(partition, from));
        }
        state.position = reset;
        return new PartitionLog.Fetched(List.of(), reset);
    }

    private @Nullable Long firstPosition(TopicPartition partition) {
        OffsetAndMetadata committed = group == null ? null : broker.committed(group, partition);
        return committed == null ? reset(partition) : (Long) committed.offset();
    }

    private @Nullable Long reset(TopicPartition partition) {
        return switch (resetPolicy) {
            case "earliest" -> (Long) broker.beginning(partition);
            case "latest" -> (Long) end(partition);
            default -> null;
        };
    }

    private static long position(Held state) {
        if (state.position == null) {
            throw new IllegalStateException("a partition is read before its position was found");
        }
        return state.position;
    }

    private Held held(TopicPartition partition) {
        Held state = held.get(partition);
        if (state == null) {
            throw new IllegalStateException("No current assignment for partition " + partition);
        }
        return state;
    }
}
