package dev.eventbus.consumer.inbox;

import dev.eventbus.EventBusException;

/**
 * A handler ended the transaction that it was given, by a statement that the guarded connection could not recognise: DDL or a
 * commit inside a procedure, for instance. It is an error in the handler; trying again does not help.
 */
public final class HandlerTransactionException extends EventBusException {

    private static final long serialVersionUID = 1;

    private final String group;
    private final String eventId;

    HandlerTransactionException(Mark mark) {
        super(
                ("The handler ended the transaction that it was given, for %s. What it wrote before that point may be committed,"
                                + " and then the event counts as handled; what it wrote after it is rolled back. Take the"
                                + " statement that commits (DDL, or COMMIT inside a procedure) out of the handler and compare the"
                                + " data of this event by hand.")
                        .formatted(mark),
                null);
        this.group = mark.group();
        this.eventId = mark.eventId();
    }

    /** Consumer group. */
    public String group() {
        return group;
    }

    /** Event id. */
    public String eventId() {
        return eventId;
    }
}
