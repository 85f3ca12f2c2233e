package dev.eventbus.consumer.redrive;

import dev.eventbus.consumer.deadletter.Origin;
import org.jspecify.annotations.Nullable;

/**
 * A dead letter as it was found.
 *
 * @param partition of the dead-letter topic
 * @param offset in the dead-letter topic
 * @param origin why and from where it was set aside
 * @param eventId what the event is known by: its id, or its place if it has none
 * @param keyHash the first 16 hexadecimal digits of the SHA-256 of its key; null for a letter without one
 * @param standing whether it can be redriven
 */
public record PlannedLetter(
        int partition,
        long offset,
        Origin origin,
        String eventId,
        @Nullable String keyHash,
        Standing standing) {

    PlannedLetter as(Origin other) {
        return new PlannedLetter(partition, offset, other, eventId, keyHash, standing);
    }

    PlannedLetter as(Standing now) {
        return new PlannedLetter(partition, offset, origin, eventId, keyHash, now);
    }
}
