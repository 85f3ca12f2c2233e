package dev.eventbus.consumer.inbox;

/** What came of trying to be the first to decide about an event. */
public sealed interface MarkResult {

    /** We were the first: our outcome is committed, with the work if there was any. */
    record Decided() implements MarkResult {}

    /** Somebody decided before, and committed; nothing of ours was run or written. */
    record Known(Outcome outcome) implements MarkResult {}

    /** Another, uncommitted owner holds the mark: nothing was run; try again later, without counting an attempt. */
    record HeldElsewhere() implements MarkResult {}

    /** The id is known with another payload: two different events share one id; nothing was run. */
    record IdConflict() implements MarkResult {}
}
