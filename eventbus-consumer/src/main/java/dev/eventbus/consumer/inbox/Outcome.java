package dev.eventbus.consumer.inbox;

/** How a group's dealing with an event ended; the first committed row wins and everybody obeys it. */
public enum Outcome {
    /** The handler's effect is committed, in the same transaction as this mark. */
    DONE,
    /** No handler runs for it again; its dead letter is still to be acknowledged by the broker. */
    DYING,
    /** Dead-lettered, and the broker has acknowledged the letter. */
    DEAD,
    /** Set aside with its key, to be handled later. */
    PARKED,
    /** Skipped on purpose. */
    SKIPPED
}
