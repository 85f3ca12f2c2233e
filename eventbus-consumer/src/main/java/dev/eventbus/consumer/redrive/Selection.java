package dev.eventbus.consumer.redrive;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.internal.Checks;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Which letters and parked keys are meant; all that is given must fit. */
record Selection(
        @Nullable String topic,
        @Nullable Key key,
        @Nullable FailureReason reason,
        @Nullable Instant from,
        @Nullable Instant to,
        @Nullable String eventId) {

    /**
     * A key.
     *
     * @param hash as lists have it
     * @param raw null where only the hash was said
     */
    @SuppressWarnings("ArrayRecordComponent") // compared by itself
    record Key(String hash, byte @Nullable [] raw) {

        static Key of(byte[] raw) {
            return new Key(KeyHash.of(raw), raw.clone());
        }

        boolean is(byte[] other) {
            return raw == null ? hash.equals(KeyHash.of(other)) : Arrays.equals(raw, other);
        }
    }

    static final Selection ALL = new Selection(null, null, null, null, null, null);

    /** @param known what the event is known by */
    boolean has(Origin origin, byte @Nullable [] raw, String known) {
        return (topic == null || topic.equals(origin.topic()))
                && (key == null || raw != null && key.is(raw))
                && (reason == null || reason == origin.reason())
                && isWithin(origin.failedAt())
                && (eventId == null || eventId.equals(known));
    }

    /** Whether a key was named: then whatever it waits for is meant, else only what waits for a person. */
    boolean namesKey() {
        return key != null;
    }

    /** Whether a key or an event was named, so that also what is being handled is meant. */
    boolean names() {
        return key != null || eventId != null;
    }

    /** A key is redriven as a whole, so one of its events does not select it. */
    boolean fits(ParkedKey parked) {
        return eventId == null
                && (topic == null || topic.equals(parked.topic()))
                && (key == null || key.is(parked.key()))
                && (reason == null || reason.name().equals(parked.reason()))
                && isWithin(parked.since());
    }

    private boolean isWithin(Instant time) {
        return (from == null || !time.isBefore(from)) && (to == null || time.isBefore(to));
    }

    /** Without the key: for the audit. */
    @Override
    public String toString() {
        List<String> parts = new ArrayList<>();
        if (topic != null) {
            parts.add("topic " + topic);
        }
        if (key != null) {
            parts.add("key " + key.hash());
        }
        if (reason != null) {
            parts.add("reason " + reason);
        }
        if (from != null || to != null) {
            parts.add("failed from %s to %s".formatted(from == null ? "ever" : from, to == null ? "now" : to));
        }
        if (eventId != null) {
            parts.add("event " + Checks.printable(eventId));
        }
        return parts.isEmpty() ? "all" : String.join(", ", parts);
    }
}
