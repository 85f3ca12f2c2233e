package dev.eventbus.consumer.inbox;

import dev.eventbus.ErrorCode;
import dev.eventbus.EventBusException;
import java.util.List;
import java.util.stream.Collectors;

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
                ErrorCode.HANDLER_ENDED_TRANSACTION,
                ("The handler ended the transaction that it was given, for %s. What it wrote before that point may be committed,"
                                + " and then the event counts as handled; what it wrote after it is rolled back. Take the"
                                + " statement that commits (DDL, or COMMIT inside a procedure) out of the handler and compare the"
                                + " data of this event by hand.")
                        .formatted(mark),
                null);
        this.group = mark.group();
        this.eventId = mark.eventId();
    }

    HandlerTransactionException(List<Mark> batch) {
        super(
                ErrorCode.HANDLER_ENDED_TRANSACTION,
                ("A handler ended the transaction that it was given, for one of %d events that shared it. What was written before that"
                                + " point may be committed, and then all of these events count as handled; what was written after"
                                + " it is rolled back. Take the statement that commits (DDL, or COMMIT inside a procedure) out of the"
                                + " handler and compare the data of these events by hand: %s.")
                        .formatted(
                                batch.size(), batch.stream().map(Mark::toString).collect(Collectors.joining("; "))),
                null);
        this.group = batch.get(0).group();
        this.eventId = batch.get(0).eventId();
    }

    /** Consumer group. */
    public String group() {
        return group;
    }

    /** Event id; of several that shared the transaction, one of them. */
    public String eventId() {
        return eventId;
    }
}
