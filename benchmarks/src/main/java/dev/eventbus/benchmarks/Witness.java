package dev.eventbus.benchmarks;

import java.time.Duration;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.jspecify.annotations.Nullable;

/**
 * A plain consumer that sees all there is in a topic, and notes when, in which order and how often. An event that is seen for the
 * first time after a later one of its key is a violation; one that is seen again is a repeat.
 */
final class Witness implements AutoCloseable {

    /**
     * What it saw.
     *
     * @param count how many different events
     * @param firstAt nanoTime when the first ones came in
     * @param warmAt nanoTime when the lead had come in
     * @param warmCount how many had come in by then, the lead and perhaps a few more
     */
    record Seen(long count, long firstAt, long warmAt, long warmCount, long violations, long duplicates) {}

    private final KafkaConsumer<byte[], byte[]> consumer;
    private final List<TopicPartition> partitions;
    private final Thread thread;
    private final AtomicBoolean stopped = new AtomicBoolean();

    /** NanoTime of the first sight of each event, by its number. Filled by the thread, read after {@link #count} has grown. */
    private final long[] seenAt;

    private final long lead;

    // the thread only, until it has ended
    private final BitSet seen = new BitSet();
    private final long[] lastOfKey = new long[SampleEvents.KEYS];
    private long firstAt;
    private long warmAt;
    private long warmCount;
    private long violations;
    private long duplicates;

    /** Written by the thread only. */
    private volatile long count;

    private volatile @Nullable RuntimeException failure;

    private Witness(String bootstrapServers, String topic, long lead, int events) {
        this.lead = lead;
        this.consumer = new KafkaConsumer<>(
                Map.of(
                        "bootstrap.servers",
                        bootstrapServers,
                        "enable.auto.commit",
                        false,
                        "isolation.level",
                        "read_committed",
                        "max.poll.records",
                        2_000),
                new ByteArrayDeserializer(),
                new ByteArrayDeserializer());
        this.partitions = IntStream.range(0, Servers.PARTITIONS)
                .mapToObj(partition -> new TopicPartition(topic, partition))
                .toList();
        this.seenAt = new long[events];
        this.thread = new Thread(this::run, "witness");
        Arrays.fill(lastOfKey, -1);
    }

    /**
     * Begins to watch, and returns when it is connected.
     *
     * @param lead how many events come before those that are timed
     * @param events how many there are in all
     */
    static Witness start(String bootstrapServers, String topic, long lead, long events) {
        Witness witness = new Witness(bootstrapServers, topic, lead, Math.toIntExact(events));
        witness.consumer.assign(witness.partitions);
        witness.consumer.seekToBeginning(witness.partitions);
        witness.partitions.forEach(witness.consumer::position);
        witness.thread.start();
        return witness;
    }

    long count() {
        RuntimeException failed = failure;
        if (failed != null) {
            throw failed;
        }
        return count;
    }

    long seenAt(int number) {
        return seenAt[number];
    }

    /** Stops when it has seen all that is in the topic by now; so the sender must have ended. */
    Seen finish() throws InterruptedException {
        stopped.set(true);
        thread.join();
        count();
        return new Seen(count, firstAt, warmAt, warmCount, violations, duplicates);
    }

    private void run() {
        try {
            while (!stopped.get()) {
                note(consumer.poll(Duration.ofMillis(50)));
            }
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(one -> consumer.position(one) < ends.getOrDefault(one, 0L))) {
                note(consumer.poll(Duration.ofMillis(50)));
            }
        } catch (RuntimeException e) {
            failure = e;
        }
    }

    private void note(ConsumerRecords<byte[], byte[]> records) {
        if (records.isEmpty()) {
            return;
        }
        long now = System.nanoTime();
        long fresh = 0;
        for (ConsumerRecord<byte[], byte[]> record : records) {
            int number = Math.toIntExact(SampleEvents.numberOf(record.value()));
            if (seen.get(number)) {
                duplicates++;
            } else {
                seen.set(number);
                seenAt[number] = now;
                fresh++;
                int key = SampleEvents.keyIndex(number);
                if (number < lastOfKey[key]) {
                    violations++;
                }
                lastOfKey[key] = Math.max(lastOfKey[key], number);
            }
        }
        long before = count;
        if (before == 0) {
            firstAt = now;
        }
        if (before < lead && before + fresh >= lead) {
            warmAt = now;
            warmCount = before + fresh;
        }
        count = before + fresh;
    }

    @Override
    public void close() throws InterruptedException {
        stopped.set(true);
        thread.join();
        consumer.close();
    }
}
