package dev.eventbus.consumer.redrive;

import dev.eventbus.KafkaAccessException;
import dev.eventbus.consumer.redrive.KeyStore.Seen;
import dev.eventbus.consumer.redrive.Redrive.Pace;
import dev.eventbus.consumer.redrive.Redrive.Source;
import dev.eventbus.consumer.redrive.TopicReader.Range;
import dev.eventbus.topics.KafkaFaults;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.jspecify.annotations.Nullable;

/** Makes a plan: reads the letters, asks the inbox or the topics how they stand, and counts what came after them. */
final class Planning {

    /** Less than this is not worth asking again. */
    private static final int LEAST_ROOM = Redrive.MOST_LETTERS / 10;

    private final Source source;
    private final Selection selection;
    private final Pace pace;
    private final @Nullable RedriveStore store;

    private final Map<String, Found> byIdentity = new LinkedHashMap<>();

    private final Rounds rounds = new Rounds(2 * Redrive.MOST_LETTERS);

    private long copies;
    private long others;
    private boolean more;

    /** Letters that cannot be redriven, and made room for others. */
    private final Map<Standing, Long> unlisted = new TreeMap<>();

    Planning(Source source, Selection selection, Pace pace) {
        this.source = source;
        this.selection = selection;
        this.pace = pace;
        this.store = source.inbox() == null ? null : new RedriveStore(source.inbox(), source.group());
    }

    RedrivePlan plan() {
        if (store != null && source.letters() == null) {
            return plan(List.of(), null);
        }
        try (TopicReader reader = new TopicReader(source.kafka(), source.group())) {
            readLetters(reader);
            return plan(standings(reader).stream().map(this::guarded).toList(), reader);
        }
    }

    private List<Found> standings(TopicReader reader) {
        List<Found> read = new ArrayList<>();
        byIdentity.forEach((identity, found) -> read.add(found.redriven(rounds.of(identity))));
        return store == null
                ? new OntoTopics(source, reader).standings(read)
                : store.standings(OntoTopics.ofTopicsRead(read, reader));
    }

    private Found guarded(Found found) {
        return found.isReady() && found.origin().redrives() >= pace.mostRedrives()
                ? found.as(Standing.TOO_OFTEN)
                : found;
    }

    /** @param reader null if there are no letters */
    private RedrivePlan plan(List<Found> letters, @Nullable TopicReader reader) {
        Seen parked = store == null ? Seen.nothing() : store.keys().look(selection, letters, pace.mostRedrives());
        Set<PlannedKeys.Id> tooOften = new HashSet<>();
        parked.leftOut().stream()
                .filter(out -> out.why() == Standing.TOO_OFTEN)
                .forEach(out -> tooOften.add(PlannedKeys.Id.of(out.key())));
        List<Found> checked = letters.stream()
                .map(found -> found.isReady() && tooOften.contains(PlannedKeys.Id.of(found))
                        ? found.as(Standing.TOO_OFTEN)
                        : found)
                .toList();
        PlannedKeys keys = new PlannedKeys(checked, parked);
        if (reader != null) {
            keys.countLater(reader);
        }
        return new RedrivePlan(
                source,
                new RedrivePlan.Asked(selection, pace),
                checked,
                keys,
                new RedrivePlan.Aside(copies, others, more, parked.others(), unlisted));
    }

    private void readLetters(TopicReader reader) {
        Map<TopicPartition, Range> ranges = reader.ranges(source.topic());
        if (ranges.isEmpty()) {
            throw noTopic(reader.topics());
        }
        ranges.forEach((partition, range) -> reader.read(partition, range, this::take));
        if (!rounds.isComplete()) {
            completeRounds(reader, ranges);
        }
    }

    /** A letter that was passed over may make one ready that looks as if it were not: all are read once more, for those listed. */
    private void completeRounds(TopicReader reader, Map<TopicPartition, Range> ranges) {
        rounds.keepOnly(byIdentity.keySet());
        ranges.forEach((partition, range) -> reader.read(partition, range, this::takeRounds));
    }

    private boolean takeRounds(ConsumerRecord<byte[], byte[]> record) {
        Found found = Found.of(record, source.group());
        if (found != null) {
            rounds.readAgain(found);
        }
        return true;
    }

    private boolean take(ConsumerRecord<byte[], byte[]> record) {
        Found found = Found.of(record, source.group());
        if (found == null) {
            others++;
            return true;
        }
        rounds.read(found, byIdentity.keySet());
        if (!selection.has(found.origin(), found.key(), found.mark().eventId())) {
            return true;
        }
        Found known = byIdentity.get(found.identity());
        if (known != null) {
            copies++;
            byIdentity.put(found.identity(), (found.countsBefore(known) ? found : known).firstSeenAs(known));
        } else if (haveRoom()) {
            byIdentity.put(found.identity(), found);
        } else {
            more = true;
        }
        return true;
    }

    /**
     * Letters that cannot be redriven are counted and forgotten when others need their room: else nobody would reach those. Of what can be
     * discarded so many stay that whoever repeats a discard comes to the end.
     */
    private boolean haveRoom() {
        if (more || byIdentity.size() < Redrive.MOST_LETTERS) {
            return !more;
        }
        try (TopicReader beside = new TopicReader(source.kafka(), source.group())) { // the first one is reading
            if (rounds.isFull()) {
                completeRounds(beside, beside.ranges(source.topic()));
            }
            int discardable = 0;
            for (Found found : standings(beside)) {
                Standing standing = guarded(found).standing();
                boolean stays = standing == Standing.READY
                        || DiscardRun.CAN_BE_GIVEN_UP.contains(standing) && ++discardable <= Redrive.MOST_LETTERS / 2;
                if (!stays) {
                    byIdentity.remove(found.identity());
                    unlisted.merge(standing, 1L, Long::sum);
                }
            }
        }
        return byIdentity.size() <= Redrive.MOST_LETTERS - LEAST_ROOM;
    }

    private KafkaAccessException noTopic(Set<String> existing) {
        return KafkaFaults.missing(
                source.kafka(),
                new UnknownTopicOrPartitionException("no topic " + source.topic()),
                source.topic(),
                existing,
                "nothing was looked at and nothing was changed");
    }

    /** Letters of one key in the order in which their events stood in the topic. */
    static final Comparator<Found> IN_ORDER = Comparator.comparing(
                    (Found found) -> found.origin().topic())
            .thenComparing(found -> found.origin().partition())
            .thenComparing(found -> found.origin().offset());
}
