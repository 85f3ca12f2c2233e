package dev.eventbus.consumer;

/** What a handler's failure means; the answer of {@link ConsumerRunnerBuilder#classify classify}. */
public enum FailureKind {
    /**
     * No opinion: the library's own table of database and Kafka faults decides whether this is an outage, and if it is none the
     * retry policy decides whether and when to try again.
     */
    RETRY,

    /**
     * What the handler depends on is out of order, not this event. Waited out with a back-off of at most 10 s, without using an
     * attempt, for as long as other keys of this handler fail too; an event that goes on failing for 5 minutes while others
     * succeed starts to use attempts.
     */
    OUTAGE,

    /** Trying again cannot help: the event goes where {@link AfterRetries} says, at once. */
    FINAL
}
