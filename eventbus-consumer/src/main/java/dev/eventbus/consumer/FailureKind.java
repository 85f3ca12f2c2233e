package dev.eventbus.consumer;

/** What a handler's failure means; the answer of {@link ConsumerRunnerBuilder#classify classify}. */
public enum FailureKind {
    /**
     * No opinion: the library's own table of database and Kafka faults decides whether this is an outage, and if it is none the
     * retry policy decides whether and when to try again.
     */
    RETRY,

    /**
     * What the handler depends on is unavailable; nothing is wrong with this event. Waited out with a back-off of at most 10 s,
     * without using an attempt, also where no other event of this handler has anything to do. Only an event that goes on failing so
     * for 5 minutes, while at least ten times as many others of this handler succeed as fail so, starts to use attempts.
     */
    OUTAGE,

    /** Trying again cannot help: the event goes where {@link AfterRetries} says, at once. */
    FINAL
}
