package dev.eventbus.consumer.redrive;

import dev.eventbus.consumer.redrive.Redrive.Source;
import dev.eventbus.consumer.redrive.TopicReader.Range;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/** The bytes of planned letters, read again in the order of the plan: so many at a time, for all of them may be more than memory holds. One thread. */
final class LetterWindow {

    private static final int MOST_LETTERS = 500;
    private static final long MOST_BYTES = 16L * 1024 * 1024;

    /** Fewer records between two letters are read over. */
    private static final long NEAR = 100;

    private final TopicReader reader;
    private final List<Found> planned;
    private final Map<Position, Integer> places = new HashMap<>();
    private final Map<Integer, Range> there = new HashMap<>();
    private final Map<Position, ConsumerRecord<byte[], byte[]>> read = new HashMap<>();
    private final String topic;
    private int from;
    private int to;

    LetterWindow(Source source, TopicReader reader, List<Found> planned) {
        this.reader = reader;
        this.planned = planned;
        this.topic = source.topic();
        for (int i = 0; i < planned.size(); i++) {
            places.put(Position.of(planned.get(i)), i);
        }
        reader.ranges(topic).forEach((partition, range) -> there.put(partition.partition(), range));
    }

    /** A planned letter; null if it is gone by now, or another record stands at its place. */
    @Nullable
    ConsumerRecord<byte[], byte[]> get(Found found) {
        Integer place = places.get(Position.of(found));
        if (place == null) {
            return null;
        }
        if (place < from || place >= to) {
            readFrom(place);
        }
        ConsumerRecord<byte[], byte[]> record = read.get(Position.of(found));
        Found now = record == null ? null : Found.of(record, found.origin().group());
        return now != null && now.identity().equals(found.identity()) ? record : null;
    }

    private void readFrom(int place) {
        read.clear();
        from = place;
        to = place;
        long bytes = 0;
        Map<Integer, TreeSet<Long>> wanted = new HashMap<>();
        while (to < planned.size() && to - from < MOST_LETTERS && (to == from || bytes < MOST_BYTES)) {
            Found found = planned.get(to++);
            bytes += found.bytes();
            wanted.computeIfAbsent(found.letter().partition(), partition -> new TreeSet<>())
                    .add(found.letter().offset());
        }
        wanted.forEach(this::read);
    }

    private void read(int partition, TreeSet<Long> offsets) {
        while (!offsets.isEmpty()) {
            long first = offsets.pollFirst();
            long last = first;
            while (!offsets.isEmpty() && offsets.first() - last <= NEAR) {
                last = offsets.pollFirst();
            }
            read(partition, new Range(first, last + 1));
        }
    }

    private void read(int partition, Range wanted) {
        Range known = there.get(partition);
        if (known == null) {
            return;
        }
        Range range = new Range(Math.max(wanted.from(), known.from()), Math.min(wanted.to(), known.to()));
        reader.read(new TopicPartition(topic, partition), range, record -> {
            Position position = new Position(record.partition(), record.offset());
            Integer place = places.get(position);
            if (place != null && place >= from && place < to) {
                read.put(position, record);
            }
            return true;
        });
    }
}
