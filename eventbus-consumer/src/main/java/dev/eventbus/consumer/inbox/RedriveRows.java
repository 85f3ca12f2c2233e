package dev.eventbus.consumer.inbox;

import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedRows;
import dev.eventbus.consumer.parking.ParkingSql;
import java.sql.Connection;
import java.sql.SQLException;
import org.jspecify.annotations.Nullable;

/** What one transaction of a redrive works with. One thread, and only while that transaction runs. */
public final class RedriveRows {

    private final Connection connection;
    private final InboxSql inbox;
    private final String group;
    private boolean kept;
    private boolean refused;

    RedriveRows(Connection connection, InboxSql inbox, String group) {
        this.connection = connection;
        this.inbox = inbox;
        this.group = group;
    }

    public Connection connection() {
        return connection;
    }

    /** The statements, in the inbox's schema. */
    public ParkingSql sql() {
        return inbox.parking();
    }

    /** The group's parked keys and events. */
    public ParkedRows parked() {
        return new ParkedRows(inbox.parking(), group);
    }

    /** What was decided about an event; null if nothing was. */
    public @Nullable MarkResult decided(Mark mark) throws SQLException {
        InboxSql.Decision known = inbox.decision(connection, mark);
        return known == null ? null : known.about(mark);
    }

    /** As {@link #decided}, whatever the payload. */
    public @Nullable Outcome outcome(Mark mark) throws SQLException {
        InboxSql.Decision known = inbox.decision(connection, mark);
        return known == null ? null : known.outcome();
    }

    /** Whether the mark is this transaction's now; false if another one has it, and then nothing of this one is kept. */
    public boolean mark(Mark mark, Outcome outcome) throws SQLException {
        refused |= !(inbox.insert(connection, mark, outcome, InboxSql.MARK_LOCK_TIMEOUT_MILLIS)
                instanceof InboxSql.Insertion.Inserted);
        return !refused;
    }

    /** Of a parked event whose mark is gone only its row says that it is still to be handled: a new mark, unless there is another one. */
    InboxSql.Insertion done(ParkedEvent event) throws SQLException {
        Mark mark = Mark.of(group, event.eventId(), event.record());
        return inbox.decision(connection, mark) != null
                ? new InboxSql.Insertion.Taken()
                : inbox.insert(connection, mark, Outcome.DONE, InboxSql.MARK_LOCK_TIMEOUT_MILLIS);
    }

    /** DYING becomes DEAD, whatever the payload. */
    public void dead(Mark mark) throws SQLException {
        InboxSql.Decision known = inbox.decision(connection, mark);
        if (known != null) {
            inbox.dead(
                    connection,
                    new Mark(
                            group, mark.eventId(), known.payloadHash(), mark.topic(), mark.partition(), mark.offset()));
        }
    }

    /** Forgets a parked event and its attempts. */
    public void forget(String eventId) throws SQLException {
        parked().deleteEvent(connection, eventId);
        inbox.attempts().delete(connection, group, eventId);
    }

    /** What is noted of an event's attempts. */
    public AttemptStore.Attempts attempts(String eventId) throws SQLException {
        AttemptStore.Attempts noted = inbox.attempts().find(connection, group, eventId);
        return noted == null ? AttemptStore.Attempts.NONE : noted;
    }

    /** Something was written that is to be committed; without this the transaction is rolled back at its end. */
    public void keep() {
        kept = true;
    }

    boolean isKept() {
        return kept && !refused;
    }
}
