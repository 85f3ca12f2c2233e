package dev.eventbus.consumer.redrive;

/** How a dead letter stands when it is looked at. */
public enum Standing {
    /** It can be redriven. */
    READY,
    /**
     * It was handed over to its group, which handles it next or has not come to it yet. It is given up only if its key or the event is named.
     */
    UNDER_WAY,
    /** Its effect is there: it was redriven before, or handled by somebody else. */
    ALREADY_APPLIED,
    /** It was discarded before. */
    DISCARDED,
    /** It is the copy of an event that is parked with its key; the key is redriven instead. */
    PARKED,
    /** It is parked until its key's next try, which comes by itself; a key that was named is not waited for. */
    WAITING,
    /** It has been redriven as often as may be: see {@link Redrive#mostRedrives}. */
    TOO_OFTEN,
    /** It lacks headers or value, because it was too large for its topic; the original may still be at its place. */
    INCOMPLETE,
    /** It has no key, so it cannot be parked; publish the event again. */
    WITHOUT_KEY,
    /** Its id belongs to another event of the group; publish it again under an id of its own. */
    ID_CONFLICT,
    /** The group has never read the partition that the letter names: anybody may have written it. */
    FOREIGN_TOPIC,
    /**
     * Kafka holds no offset of the group for any partition that a letter names: they have expired, since no runner of it was there for so
     * long, or it has never run. Start its runners, then plan again.
     */
    NO_OFFSETS,
    /** Its topic is compacted: an old event would take the place of newer ones of its key. */
    COMPACTED,
    /** It was planned, and retention has taken it away since. */
    GONE,
    /** Another transaction has the event or its key in hand, or an earlier event of its key could not be handed over; try again. */
    HELD,
    /** The inbox's database refuses it: {@link RedriveResult#refused} says why. */
    REFUSED;

    /** Whether nothing is left to do about it. */
    public boolean isSettled() {
        return this == ALREADY_APPLIED || this == DISCARDED;
    }
}
