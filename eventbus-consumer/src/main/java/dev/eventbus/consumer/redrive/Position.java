package dev.eventbus.consumer.redrive;

import dev.eventbus.consumer.redrive.Redrive.Source;
import dev.eventbus.consumer.redrive.TopicReader.Range;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;

/** Where a letter stands in the dead-letter topic. */
record Position(int partition, long offset) {

    static Position of(Found found) {
        return new Position(found.letter().partition(), found.letter().offset());
    }

    /** The planned letters once more, with their bytes; those that are gone by now are missing. */
    static Map<Position, ConsumerRecord<byte[], byte[]>> read(
            Source source, Collection<Found> planned, TopicReader reader) {
        Set<Position> wanted = new HashSet<>();
        planned.forEach(found -> wanted.add(of(found)));
        Map<Position, ConsumerRecord<byte[], byte[]>> letters = new HashMap<>();
        if (wanted.isEmpty()) {
            return letters;
        }
        reader.ranges(source.topic()).forEach((partition, there) -> {
            Range range = rangeOf(wanted, partition, there);
            reader.read(partition, range, record -> {
                Position position = new Position(record.partition(), record.offset());
                if (wanted.contains(position)) {
                    letters.put(position, record);
                }
                return true;
            });
        });
        return letters;
    }

    private static Range rangeOf(Set<Position> wanted, TopicPartition partition, Range there) {
        long from = Long.MAX_VALUE;
        long to = 0;
        for (Position position : wanted) {
            if (position.partition() == partition.partition()) {
                from = Math.min(from, position.offset());
                to = Math.max(to, position.offset() + 1);
            }
        }
        return new Range(Math.max(from, there.from()), Math.min(to, there.to()));
    }
}
