package dev.eventbus.faults.check;

import java.util.Locale;

/** A broken promise. */
public enum Violation {
    /** P2: committed, and neither on the topic nor in the outbox any more. */
    LOST_WRITE,
    /** P1: on the topic or in effect, and never committed. */
    PHANTOM,
    /** P3: the first occurrences of a key's events are not in the order of their commits. */
    NONMONOTONIC_SEND,
    /** P3: events of a key lie in several partitions. */
    KEY_SPLIT,
    /** P6: the group's offset has passed it, and there is neither an effect nor a dead letter. */
    LOST_EFFECT,
    /** P5: one event, several effects. */
    DOUBLE_EFFECT,
    /** P4: effects of a key in another order than its commits. */
    REORDERED_EFFECT,
    /** P5: a handler failed, and what it had written is there. */
    FAILED_EFFECT,
    /** P6: fails always, the group's offset has passed it, and there is no dead letter. */
    DLQ_MISSING,
    /** P6: a dead letter of what was never committed, had no reason to fail, or has its effect. */
    DLQ_PHANTOM,
    /** P6: a dead letter that is not, byte by byte, the record that it says it was. */
    DLQ_ALTERED,
    /** P6: dead-lettered as what ends the process, and it does not; or it does, and the letter gives another reason. */
    WRONG_CONVICTION,
    /** P6: parked, and nothing will ever lift it: no row of it waits, its key is not parked, or nobody carries a redrive out. */
    ORPHAN_PARKED,
    /** P6: seen during the run: an offset was committed past an event that had no effect yet. */
    OFFSET_PAST_UNFINISHED,
    /** P7: more repeats, on the wire or of dead letters, than the faults explain. */
    UNBOUNDED_REPEATS,
    /** Another key or payload than what was published. */
    CORRUPT,
    /** P9: a key had work and made no progress, although every fault was over. */
    STUCK_KEY,
    /** P9: a process that no fault had touched ended by itself. */
    UNEXPECTED_EXIT,
    /** Without any fault, under an even load, a process or the database held more and more. */
    LEAK;

    /** As in reports, such as {@code lost-write}. */
    public String code() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
