package dev.eventbus.consumer.redrive;

import dev.eventbus.consumer.parking.ParkedEvent;
import java.time.Duration;
import java.time.Instant;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The order in which the events of one key were published, as far as their places and times tell. In a partition offsets do, unless the
 * topic was deleted and made again: then a larger offset is the older one, by far. A key has moved to another partition when its topic has
 * grown; then times do.
 */
final class LetterOrder {

    /** Clocks of publishers differ by less, of which brokers let none be ahead by more than an hour; a topic is made again later. */
    private static final Duration BY_FAR = Duration.ofHours(2);

    private static final Comparator<Found> BY_PLACE = Comparator.comparing(
                    (Found found) -> found.origin().topic())
            .thenComparing(found -> found.origin().partition())
            .thenComparing(found -> found.origin().offset());

    private LetterOrder() {}

    /** Whether a parked event stands behind a letter of its key. */
    static boolean isBehind(ParkedEvent there, ParkedEvent letter) {
        boolean samePartition = there.partition() == letter.partition();
        boolean isLater = there.offset() > letter.offset();
        return samePartition && !isMadeAgain(isLater ? letter : there, isLater ? there : letter)
                ? isLater
                : there.recordTime().isAfter(letter.recordTime());
    }

    private static boolean isMadeAgain(ParkedEvent smaller, ParkedEvent larger) {
        return isOlderByFar(larger.recordTime(), smaller.recordTime());
    }

    /** A record without a time is not older than any. */
    private static boolean isOlderByFar(Instant one, Instant other) {
        return !one.isBefore(Instant.EPOCH)
                && one.isBefore(Instant.MIN.plus(BY_FAR).isBefore(other) ? other.minus(BY_FAR) : other);
    }

    /** Sorts the letters of one key. */
    static void sort(List<Found> ofKey) {
        ofKey.sort(BY_PLACE);
        Map<Integer, Instant> first = new TreeMap<>();
        boolean madeAgain = false;
        Found before = null;
        for (Found found : ofKey) {
            Instant time = found.origin().timestamp();
            first.merge(found.origin().partition(), time, (one, other) -> one.isBefore(other) ? one : other);
            madeAgain |= before != null
                    && before.origin().partition() == found.origin().partition()
                    && isOlderByFar(time, before.origin().timestamp());
            before = found;
        }
        if (madeAgain) {
            ofKey.sort(Comparator.comparing(found -> found.origin().timestamp()));
        } else if (first.size() > 1) {
            ofKey.sort(Comparator.comparing(
                    (Found found) -> first.getOrDefault(found.origin().partition(), Instant.MAX)));
        }
    }
}
