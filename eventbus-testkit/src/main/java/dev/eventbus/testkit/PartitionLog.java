package dev.eventbus.testkit;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.jspecify.annotations.Nullable;

/** The records of one partition, appended only. Everything that goes in or out is copied, as on a wire. Guarded by the broker. */
final class PartitionLog {

    /** What a read found, and where the next one begins: behind the last record, or behind what the reader must not see. */
    record Fetched(List<ConsumerRecord<byte[], byte[]>> records, long nextOffset) {}

    /** A record and when it came, counted over all topics. */
    record Arrived(long arrival, ConsumerRecord<byte[], byte[]> record) {}

    /** A record, or a transaction's marker if it has no record. */
    private record Entry(
            long arrival,
            @Nullable ConsumerRecord<byte[], byte[]> record,
            @Nullable LogTransaction transaction) {

        boolean isOpen() {
            return transaction != null && transaction.isIn(LogTransaction.State.OPEN);
        }

        boolean isAborted() {
            return transaction != null && transaction.isIn(LogTransaction.State.ABORTED);
        }
    }

    private final TopicPartition partition;
    private final List<Entry> entries = new ArrayList<>();
    private long beginning;

    PartitionLog(TopicPartition partition) {
        this.partition = partition;
    }

    /** Appends a record; the offset that it got. */
    long append(
            long arrival, ProducerRecord<byte[], byte[]> sent, long timestamp, @Nullable LogTransaction transaction) {
        if (transaction != null) {
            transaction.touches(this);
        }
        long offset = entries.size();
        entries.add(new Entry(arrival, copy(offset, timestamp, sent.key(), sent.value(), sent.headers()), transaction));
        return offset;
    }

    void appendMarker() {
        entries.add(new Entry(-1, null, null));
    }

    long beginning() {
        return beginning;
    }

    long end() {
        return entries.size();
    }

    /** Where {@code read_committed} readers stop: at the first record of a transaction that is still open. */
    long lastStableOffset() {
        long offset = beginning;
        while (offset < end() && !entries.get((int) offset).isOpen()) {
            offset++;
        }
        return offset;
    }

    /** Deletes as retention does: readers that stand before {@code offset} are out of range from now on. */
    void deleteBefore(long offset) {
        beginning = Math.max(beginning, Math.min(offset, end()));
    }

    /** Reads at most {@code limit} records from {@code offset} on. */
    Fetched read(long offset, int limit, boolean committedOnly) {
        long end = committedOnly ? lastStableOffset() : end();
        long next = offset;
        List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
        while (next < end && found.size() < limit) {
            Entry entry = entries.get((int) next);
            next++;
            if (entry.record() != null && !(committedOnly && entry.isAborted())) {
                found.add(copy(entry.record()));
            }
        }
        return new Fetched(found, next);
    }

    /** All that is there and committed, with its arrival. */
    List<Arrived> committed() {
        List<Arrived> found = new ArrayList<>();
        for (Entry entry : entries.subList((int) beginning, (int) lastStableOffset())) {
            if (entry.record() != null && !entry.isAborted()) {
                found.add(new Arrived(entry.arrival(), copy(entry.record())));
            }
        }
        return found;
    }

    private ConsumerRecord<byte[], byte[]> copy(ConsumerRecord<byte[], byte[]> kept) {
        return copy(kept.offset(), kept.timestamp(), kept.key(), kept.value(), kept.headers());
    }

    private ConsumerRecord<byte[], byte[]> copy(
            long offset, long timestamp, byte @Nullable [] key, byte @Nullable [] value, Headers headers) {
        return new ConsumerRecord<>(
                partition.topic(),
                partition.partition(),
                offset,
                timestamp,
                TimestampType.CREATE_TIME,
                key == null ? ConsumerRecord.NULL_SIZE : key.length,
                value == null ? ConsumerRecord.NULL_SIZE : value.length,
                key == null ? null : key.clone(),
                value == null ? null : value.clone(),
                copy(headers),
                Optional.empty());
    }

    private static Headers copy(Headers headers) {
        RecordHeaders copy = new RecordHeaders();
        for (Header header : headers) {
            byte[] value = header.value();
            copy.add(new RecordHeader(header.key(), value == null ? null : value.clone()));
        }
        return copy;
    }
}
