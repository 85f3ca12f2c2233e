package dev.eventbus.consumer.parking;

import java.time.Instant;
import org.jspecify.annotations.Nullable;

/**
 * A key of a group whose events wait in the database instead of being handled.
 *
 * @param topic as the inbox has it
 * @param key raw key
 * @param state what its events wait for
 * @param reason why it was parked
 * @param nextTry when its first event is tried again; null if nobody has said
 * @param redrives how often a redrive of it has failed
 * @param since when it was parked, by the database's clock
 * @param events how many of its events wait
 * @param partition where its first event was read; -1 if none waits
 */
@SuppressWarnings("ArrayRecordComponent") // compared by its reader
public record ParkedKey(
        String topic,
        byte[] key,
        State state,
        String reason,
        @Nullable Instant nextTry,
        int redrives,
        Instant since,
        long events,
        int partition) {

    /** What the events of a parked key wait for. */
    public enum State {
        /** A person. */
        PARKED,
        /** The time of their first event's next try. */
        WAITING,
        /** Nothing any more: they are being handled again, in order. */
        REDRIVE;

        /** A name that this version does not know was written by another one: it is left to that one, or to a person. */
        static State named(String name) {
            for (State known : values()) {
                if (known.name().equals(name)) {
                    return known;
                }
            }
            return PARKED;
        }
    }

    /** As it is after a change of its first event's making. */
    public ParkedKey changed(State now, String because, @Nullable Instant due, int failedRedrives) {
        return new ParkedKey(topic, key, now, because, due, failedRedrives, since, events, partition);
    }

    /** Whether its first event is to be run now. */
    public boolean isDue(Instant now) {
        return state != State.PARKED && (nextTry == null || !nextTry.isAfter(now));
    }

    /** Without the key: safe to print. */
    @Override
    public String toString() {
        return "a key of %s, %s since %s with %d events (%s)".formatted(topic, state, since, events, reason);
    }
}
