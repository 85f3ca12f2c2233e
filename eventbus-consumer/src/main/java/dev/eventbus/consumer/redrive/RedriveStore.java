package dev.eventbus.consumer.redrive;

import dev.eventbus.ErrorCode;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.inbox.RedriveRows;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkedKey.State;
import dev.eventbus.consumer.parking.ParkedRows.Held;
import dev.eventbus.consumer.parking.ParkingSql;
import dev.eventbus.consumer.parking.RedriveSql;
import dev.eventbus.internal.SqlFaults;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Predicate;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;

/** What a redrive does with letters in the inbox's database of one group. Each method is one short transaction, or several where it says so. */
final class RedriveStore {

    /** Letters asked for in one transaction. */
    private static final int BATCH = 500;

    private final ParkingStore parking;
    private final KeyStore keys;
    private final String group;

    RedriveStore(JdbcInbox inbox, String group) {
        this.parking = inbox.parking();
        this.keys = new KeyStore(inbox, group);
        this.group = group;
    }

    /** The same about parked keys. */
    KeyStore keys() {
        return keys;
    }

    /** A question or a change that may meet a database that does not answer. */
    interface Step<T> {
        T run() throws SQLException;
    }

    /**
     * What came of one letter.
     *
     * @param refusal what the database has against it; null unless it is {@link Standing#REFUSED}
     */
    record Answer(Standing standing, @Nullable SQLException refusal) {}

    static <T> T ask(Step<T> step) {
        try {
            return step.run();
        } catch (SQLException e) {
            throw ended(e);
        }
    }

    /** What a redrive does with one letter. */
    private interface LetterStep {
        Standing in(RedriveRows rows) throws SQLException;
    }

    /** As {@link #ask}, about one letter: what is wrong with it alone ends nothing, nor does what somebody else is doing with its key. */
    private Answer answer(LetterStep step) {
        ParkingSql[] words = new ParkingSql[1];
        try {
            return new Answer(
                    parking.inTransaction(group, rows -> {
                        words[0] = rows.sql();
                        return step.in(rows);
                    }),
                    null);
        } catch (SQLException e) {
            boolean locked = words[0] != null && words[0].isLocked(e);
            if (locked || isConflict(e) || Thread.currentThread().isInterrupted()) {
                return new Answer(Standing.HELD, null);
            }
            if (e.getSQLState() == null
                    || SqlFaults.isInfrastructure(e)) { // without a state it is no word of the database
                throw ended(e);
            }
            return new Answer(Standing.REFUSED, e);
        }
    }

    /** A deadlock, or what another transaction has done meanwhile: the database has rolled ours back, and it may be tried again. */
    static boolean isConflict(SQLException e) {
        return e.getSQLState() != null && e.getSQLState().startsWith("40");
    }

    private static StartRefusedException ended(SQLException e) {
        return new StartRefusedException(
                ErrorCode.INBOX_UNUSABLE,
                "The inbox's database did not answer, or refuses (SQLSTATE %s). What a redrive or a discard had committed by then stands, the rest is as it was; check the database and the privileges of its user, then try again."
                        .formatted(e.getSQLState()),
                e);
    }

    // ---- looking

    /** The letters as the inbox knows their events. */
    List<Found> standings(List<Found> letters) {
        List<Found> known = new ArrayList<>();
        for (int from = 0; from < letters.size(); from += BATCH) {
            List<Found> some = letters.subList(from, Math.min(letters.size(), from + BATCH));
            known.addAll(ask(() -> parking.inTransaction(group, rows -> {
                List<Found> seen = new ArrayList<>();
                for (Found found : some) {
                    seen.add(found.as(standing(rows, found)));
                }
                return seen;
            })));
        }
        return known;
    }

    private Standing standing(RedriveRows rows, Found found) throws SQLException {
        Standing before = before(rows, found);
        if (before != Standing.READY) {
            return before;
        }
        return rows.parked().event(rows.connection(), found.mark().eventId()) == null
                ? Standing.READY
                : Standing.UNDER_WAY;
    }

    /** What the mark and the letter itself say. */
    private Standing before(RedriveRows rows, Found found) throws SQLException {
        MarkResult decided = rows.decided(found.mark());
        Outcome known = outcome(rows, found, decided);
        if (known == Outcome.DONE) {
            return Standing.ALREADY_APPLIED;
        }
        if (known == Outcome.SKIPPED) {
            return Standing.DISCARDED;
        }
        if (known == Outcome.PARKED) {
            return Standing.PARKED;
        }
        if (rows.outcome(found.markOfLetter()) == Outcome.SKIPPED) { // even if it could be redriven by now
            return Standing.DISCARDED;
        }
        if (!isOurs(rows, found, decided)) {
            return isConflict(found, decided) ? Standing.ID_CONFLICT : found.standing();
        }
        if (found.omitted() != null) {
            return Standing.INCOMPLETE;
        }
        return found.key() == null ? Standing.WITHOUT_KEY : Standing.READY;
    }

    /** How the event ended; null if nobody has decided, or about another event. Without its value a letter is believed to be of this one. */
    private static @Nullable Outcome outcome(RedriveRows rows, Found found, @Nullable MarkResult decided)
            throws SQLException {
        return decided instanceof MarkResult.Known known
                ? known.outcome()
                : found.lacksValue() ? rows.outcome(found.mark()) : null;
    }

    private static boolean isConflict(Found found, @Nullable MarkResult decided) {
        return decided instanceof MarkResult.IdConflict && !found.lacksValue();
    }

    /** Whether the mark of the letter's id is its own, or would be: for what anybody may have written no event's mark is touched. */
    private boolean isOurs(RedriveRows rows, Found found, @Nullable MarkResult decided) throws SQLException {
        return !isConflict(found, decided) && (found.isFromHome() || isKnownThere(rows, found));
    }

    /** Whether the group has dealt with the event in the topic that the letter names, so that no offset is needed to believe it. */
    private boolean isKnownThere(RedriveRows rows, Found found) throws SQLException {
        String topicOf = new RedriveSql(rows.sql().schema()).topicOfMark();
        try (PreparedStatement select = rows.connection().prepareStatement(topicOf)) {
            rows.sql().text(select, 1, group);
            rows.sql().text(select, 2, found.mark().eventId());
            try (ResultSet row = select.executeQuery()) {
                return row.next()
                        && rows.sql().text(row, 1).equals(found.origin().topic());
            }
        }
    }

    // ---- handing over

    /**
     * How letters are handed over.
     *
     * @param wholeKey whether all that is parked of its key is to be handled again too, which {@link KeyStore#redrive} begins; else the
     *     letter of a key that waits for a person or for its time is left alone
     * @param isBehind which parked events of its key stand behind a letter
     */
    record Admission(boolean wholeKey, int mostRedrives, Predicate<ParkedEvent> isBehind) {}

    /** How those behind a letter in its key are left alone because it was not put in; null if they are not. */
    static @Nullable Standing holdsUp(Standing standing) {
        return switch (standing) {
            case HELD, REFUSED, PARKED -> Standing.HELD;
            case TOO_OFTEN -> Standing.TOO_OFTEN; // as its key is
            default -> null;
        };
    }

    /** Makes a letter an event that waits, in its place; what came of it. */
    Answer admit(Found found, ConsumerRecord<byte[], byte[]> letter, Admission how) {
        ParkedEvent event = found.parked(letter);
        return answer(rows -> admit(rows, found, event, how));
    }

    private Standing admit(RedriveRows rows, Found found, ParkedEvent event, Admission how) throws SQLException {
        Standing before = before(rows, found);
        if (before != Standing.READY) {
            return before;
        }
        if (!isDead(rows, found)) {
            return Standing.HELD;
        }
        String reason = found.origin().reason().name();
        rows.parked().insertKey(rows.connection(), event, State.REDRIVE, reason, null);
        if (!rows.parked().lockToLift(rows.connection(), keyOf(event, reason))) {
            return Standing.HELD;
        }
        Held held = rows.parked().lockToChange(rows.connection(), event.topic(), event.key());
        if (!how.wholeKey() && (held == null || held.state() != State.REDRIVE)) {
            return Standing.PARKED;
        }
        if (held != null && held.redrives() >= how.mostRedrives()) {
            return Standing.TOO_OFTEN;
        }
        boolean there = rows.parked().event(rows.connection(), event.eventId()) != null;
        if (!there) {
            if (!rows.parked().settle(rows.connection(), event.eventId(), Outcome.DEAD.name())) {
                return Standing.HELD; // its mark was forgotten meanwhile; none is from here on
            }
            insertInPlace(rows, event, how.isBehind());
            raiseRedrives(rows, event, found.origin().redrives());
        }
        rows.keep();
        return there ? Standing.UNDER_WAY : Standing.READY;
    }

    /**
     * Makes it true that the event is a dead letter, which the letter itself proves: the group may not have come to note that it has arrived,
     * or may have forgotten it. False if somebody has it in hand.
     */
    private static boolean isDead(RedriveRows rows, Found found) throws SQLException {
        Outcome known = outcome(rows, found, rows.decided(found.mark()));
        if (known == Outcome.DYING) {
            rows.dead(found.mark());
        }
        return known != null || rows.mark(found.mark(), Outcome.DEAD);
    }

    /**
     * Before those of its key that stood behind it in the topic: these are written anew, in their order. There may be thousands, so one is
     * in memory at a time.
     */
    private static void insertInPlace(RedriveRows rows, ParkedEvent event, Predicate<ParkedEvent> isBehind)
            throws SQLException {
        List<String> ids = rows.parked().eventIds(rows.connection(), keyOf(event, ""));
        int behind = 0;
        while (behind < ids.size() && !isBehind.test(locked(rows, ids.get(behind)))) {
            behind++;
        }
        rows.parked().insertEvent(rows.connection(), event);
        for (String id : ids.subList(behind, ids.size())) {
            ParkedEvent later = locked(rows, id);
            rows.parked().deleteEvent(rows.connection(), id);
            rows.parked().insertEvent(rows.connection(), later);
        }
    }

    private static ParkedEvent locked(RedriveRows rows, String id) throws SQLException {
        return Objects.requireNonNull(rows.parked().event(rows.connection(), id), "a row that we lock");
    }

    private void raiseRedrives(RedriveRows rows, ParkedEvent event, int redrives) throws SQLException {
        String raise = new RedriveSql(rows.sql().schema()).raiseRedrives();
        try (PreparedStatement update = rows.connection().prepareStatement(raise)) {
            update.setInt(1, redrives);
            rows.sql().text(update, 2, group);
            rows.sql().text(update, 3, event.topic());
            update.setBytes(4, event.key());
            update.setInt(5, redrives);
            update.executeUpdate();
        }
    }

    private static ParkedKey keyOf(ParkedEvent event, String reason) {
        return new ParkedKey(
                event.topic(), event.key(), State.REDRIVE, reason, null, 0, event.recordTime(), 0, event.partition());
    }

    // ---- giving up

    /** Gives a letter up: whoever meets its event from now on skips it. */
    Answer discard(Found found) {
        return answer(rows -> discard(rows, found));
    }

    private Standing discard(RedriveRows rows, Found found) throws SQLException {
        Standing before = before(rows, found);
        if (before.isSettled() || before == Standing.PARKED) {
            return before;
        }
        MarkResult decided = rows.decided(found.mark());
        if (!isOurs(rows, found, decided)) {
            return markSkipped(rows, found.markOfLetter());
        }
        if (outcome(rows, found, decided) == null) {
            return markSkipped(rows, found.mark());
        }
        if (!isDead(rows, found)) {
            return Standing.HELD;
        }
        String eventId = found.mark().eventId();
        ParkedEvent waiting = rows.parked().event(rows.connection(), eventId);
        if (waiting != null && !rows.parked().lockToLift(rows.connection(), keyOf(waiting, ""))) {
            return Standing.HELD;
        }
        if (!rows.parked().settle(rows.connection(), eventId, Outcome.SKIPPED.name())) {
            return before(rows, found); // somebody has just handled it
        }
        rows.forget(eventId);
        if (waiting != null && rows.parked().first(rows.connection(), keyOf(waiting, "")) == null) {
            rows.parked().deleteKey(rows.connection(), keyOf(waiting, "")); // later ones would follow it for nothing
        }
        rows.keep();
        return Standing.READY;
    }

    private static Standing markSkipped(RedriveRows rows, Mark mark) throws SQLException {
        if (rows.outcome(mark) != null) {
            return Standing.ID_CONFLICT;
        }
        if (!rows.mark(mark, Outcome.SKIPPED)) {
            return Standing.HELD;
        }
        rows.keep();
        return Standing.READY;
    }
}
