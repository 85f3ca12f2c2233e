package dev.eventbus.testkit;

/**
 * Where in its work on an event a runner can end as by a power cut, see {@link Faults#crashAt(CrashPoint)}. All of them are calls of
 * the database or of Kafka: those of the database are seen only on a {@link Faults#dataSource} that the inbox was built on.
 */
public enum CrashPoint {

    /**
     * The inbox's row stands in an open transaction, and the handler has not begun. Also where an event dies or is parked, and where a parked one
     * is handled again.
     */
    AFTER_INBOX_INSERT,

    /**
     * The handler has returned, and its transaction is open. Also before the end of an event that dies or is parked is committed, and
     * whatever else becomes of a parked key.
     */
    AFTER_HANDLER,

    /** Row and effect are committed, and the runner does not know. Also what became of a parked key. */
    AFTER_COMMIT,

    /** The broker has the dead letter, and the runner does not know. */
    AFTER_DEAD_LETTER,

    /**
     * Events have ended, and their offsets are about to be committed: for a handler without an inbox, after its effect. With an inbox
     * also where a partition is taken over, before any of its events runs.
     */
    BEFORE_OFFSET_COMMIT
}
