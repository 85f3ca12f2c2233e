package dev.eventbus.consumer.redrive;

import dev.eventbus.KafkaAccessException;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.Redrive.Pace;
import dev.eventbus.consumer.redrive.Redrive.Source;
import dev.eventbus.consumer.redrive.TopicReader.Range;
import dev.eventbus.topics.KafkaFaults;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Makes a plan: reads the letters, asks the inbox or the topics how they stand, and counts what came after them. */
final class Planning {

    /** Records of one partition that are read behind its oldest letter. */
    static final int MOST_READ = 1_000_000;

    private final Source source;
    private final Selection selection;
    private final Pace pace;

    private final Map<String, Found> byIdentity = new LinkedHashMap<>();
    private long copies;
    private long others;
    private boolean more;

    Planning(Source source, Selection selection, Pace pace) {
        this.source = source;
        this.selection = selection;
        this.pace = pace;
    }

    RedrivePlan plan() {
        RedriveStore store = source.inbox() == null ? null : new RedriveStore(source.inbox(), source.group());
        try (TopicReader reader = new TopicReader(source.kafka(), source.group())) {
            readLetters(reader);
            List<Found> letters = new ArrayList<>(byIdentity.values());
            List<ParkedKey> parked = List.of();
            if (store != null) {
                letters = store.standings(letters);
                parked = store.parked(selection);
            } else {
                letters = new OntoTopics(source, reader).standings(letters);
            }
            letters = letters.stream().map(this::guarded).toList();
            List<ParkedKey> ready = parked.stream()
                    .filter(key -> key.redrives() < pace.mostRedrives())
                    .toList();
            long tooOften = parked.stream().mapToLong(ParkedKey::events).sum()
                    - ready.stream().mapToLong(ParkedKey::events).sum();
            PlannedKeys keys = new PlannedKeys(letters, ready);
            keys.countLater(reader);
            return new RedrivePlan(
                    source,
                    new RedrivePlan.Asked(selection, pace),
                    letters.stream().map(Found::letter).toList(),
                    keys,
                    new RedrivePlan.Aside(copies, others, more, tooOften));
        }
    }

    private Found guarded(Found found) {
        return found.isReady() && found.origin().redrives() >= pace.mostRedrives()
                ? found.as(Standing.TOO_OFTEN)
                : found;
    }

    private void readLetters(TopicReader reader) {
        Map<TopicPartition, Range> ranges = reader.ranges(source.topic());
        if (ranges.isEmpty()) {
            throw noTopic();
        }
        ranges.forEach((partition, range) -> reader.read(partition, range, this::take));
    }

    private boolean take(ConsumerRecord<byte[], byte[]> record) {
        Found found = Found.of(record, source.group());
        if (found == null) {
            others++;
            return true;
        }
        if (!selection.has(found.origin(), found.key(), found.mark().eventId())) {
            return true;
        }
        Found known = byIdentity.get(found.identity());
        if (known != null) {
            copies++;
            byIdentity.put(found.identity(), found.isNewerThan(known) ? found : known);
        } else if (byIdentity.size() >= Redrive.MOST_LETTERS) {
            more = true;
        } else {
            byIdentity.put(found.identity(), found);
        }
        return true;
    }

    private KafkaAccessException noTopic() {
        return KafkaFaults.explain(
                source.kafka(),
                new UnknownTopicOrPartitionException("no topic " + source.topic()),
                "nothing was looked at and nothing was changed");
    }

    /** Letters of one key in the order in which their events stood in the topic. */
    static final Comparator<Found> IN_ORDER = Comparator.comparing(
                    (Found found) -> found.origin().topic())
            .thenComparing(found -> found.origin().partition())
            .thenComparing(found -> found.origin().offset());
}
