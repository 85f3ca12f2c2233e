package dev.eventbus.consumer.redrive;

import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.inbox.RedriveRows;
import dev.eventbus.consumer.internal.DeadAgain;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkedKey.State;
import dev.eventbus.consumer.parking.ParkingSql;
import dev.eventbus.consumer.parking.RedriveSql;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** What a redrive does in the inbox's database of one group. Each method is one short transaction, or several where it says so. */
final class RedriveStore {

    /** Letters asked for in one transaction. */
    private static final int BATCH = 500;

    private final ParkingStore parking;
    private final String group;

    RedriveStore(JdbcInbox inbox, String group) {
        this.parking = inbox.parking();
        this.group = group;
    }

    /** A question or a change that may meet a database that does not answer. */
    interface Step<T> {
        T run() throws SQLException;
    }

    static <T> T ask(Step<T> step) {
        try {
            return step.run();
        } catch (SQLException e) {
            throw new StartRefusedException(
                    "The redrive ended: the inbox's database did not answer (SQLSTATE %s). What it had committed stands, the rest is as it was; check the database, then plan and run again."
                            .formatted(e.getSQLState()),
                    e);
        }
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
                    seen.add(found.standing() == Standing.FOREIGN_TOPIC ? found : found.as(standing(rows, found)));
                }
                return seen;
            })));
        }
        return known;
    }

    private static Standing standing(RedriveRows rows, Found found) throws SQLException {
        Standing before = before(rows, found);
        if (before != Standing.READY) {
            return before;
        }
        return rows.parked().event(rows.connection(), found.mark().eventId()) == null
                ? Standing.READY
                : Standing.UNDER_WAY;
    }

    /** What the mark and the letter itself say. */
    private static Standing before(RedriveRows rows, Found found) throws SQLException {
        MarkResult decided = rows.decided(found.mark());
        if (decided instanceof MarkResult.IdConflict) {
            return Standing.ID_CONFLICT;
        }
        if (decided instanceof MarkResult.Known known && known.outcome() != Outcome.DEAD) {
            return switch (known.outcome()) {
                case DONE -> Standing.ALREADY_APPLIED;
                case SKIPPED -> Standing.DISCARDED;
                case PARKED -> Standing.PARKED;
                default -> Standing.NOT_SETTLED;
            };
        }
        if (found.standing() == Standing.READY && found.key() == null) {
            return Standing.WITHOUT_KEY;
        }
        return found.standing();
    }

    /**
     * The parked keys that are meant, and those of letters that are: whose letter is handled again, all of it is. Keys that are being handled
     * already are left out.
     */
    List<ParkedKey> parked(Selection selection, List<Found> letters) {
        Set<PlannedKeys.Id> lettersOf = new HashSet<>();
        letters.stream().filter(Found::isReady).forEach(found -> lettersOf.add(PlannedKeys.Id.of(found)));
        return ask(() -> parking.load(group)).stream()
                .filter(key -> key.events() > 0
                        && key.state() != State.REDRIVE
                        && (selection.has(key) || lettersOf.contains(PlannedKeys.Id.of(key))))
                .toList();
    }

    // ---- handing over

    /** A key that is parked is handled again: READY, or why not. */
    Standing redrive(ParkedKey key) {
        return ask(() -> {
            ParkingSql[] words = new ParkingSql[1];
            try {
                return parking.inTransaction(group, rows -> {
                    words[0] = rows.sql();
                    boolean there = rows.parked().lockToChange(rows.connection(), key.topic(), key.key())
                            && rows.parked().redrive(rows.connection(), key.topic(), key.key());
                    if (there) {
                        rows.keep();
                    }
                    return there ? Standing.READY : Standing.ALREADY_APPLIED;
                });
            } catch (SQLException e) {
                if (words[0] != null && words[0].isLocked(e)) {
                    return Standing.UNDER_WAY; // its first event is being handled right now
                }
                throw e;
            }
        });
    }

    /**
     * Makes a letter an event that waits, in its place; what came of it.
     *
     * @param wholeKey whether all that is parked of its key is to be handled again too; else the letter of a key that waits for a person or
     *     for its time is left alone
     */
    Standing admit(Found found, ConsumerRecord<byte[], byte[]> letter, boolean wholeKey) {
        ParkedEvent event = found.parked(letter);
        return ask(() -> parking.inTransaction(group, rows -> admit(rows, found, event, wholeKey)));
    }

    private Standing admit(RedriveRows rows, Found found, ParkedEvent event, boolean wholeKey) throws SQLException {
        Standing before = before(rows, found);
        if (before != Standing.READY) {
            return before;
        }
        if (rows.decided(found.mark()) == null && !rows.mark(found.mark(), Outcome.DEAD)) {
            return Standing.HELD; // the group forgot it, or never marked it: from now on it is known as a dead letter
        }
        String reason = found.origin().reason().name();
        rows.parked().insertKey(rows.connection(), event, State.REDRIVE, reason, null);
        if (!rows.parked().lockToLift(rows.connection(), keyOf(event, reason))) {
            return Standing.HELD;
        }
        if (!wholeKey && !rows.parked().lockRedriven(rows.connection(), event.topic(), event.key())) {
            return Standing.PARKED;
        }
        boolean there = rows.parked().event(rows.connection(), event.eventId()) != null;
        if (!there) {
            insertInPlace(rows, event, keyOf(event, reason));
            raiseRedrives(rows, event, found.origin().redrives());
        }
        rows.parked().redrive(rows.connection(), event.topic(), event.key());
        rows.keep();
        return there ? Standing.UNDER_WAY : Standing.READY;
    }

    /**
     * Before those of its key that stood behind it in the topic: these are written anew, in their order. Where the number of partitions was
     * changed, time tells.
     */
    private static void insertInPlace(RedriveRows rows, ParkedEvent event, ParkedKey key) throws SQLException {
        List<ParkedEvent> behind = new ArrayList<>();
        for (String id : rows.parked().eventIds(rows.connection(), key)) {
            ParkedEvent there =
                    Objects.requireNonNull(rows.parked().event(rows.connection(), id), "a row that we lock");
            if (!behind.isEmpty() || isBehind(there, event)) {
                behind.add(there);
            }
        }
        for (ParkedEvent later : behind) {
            rows.parked().deleteEvent(rows.connection(), later.eventId());
        }
        rows.parked().insertEvent(rows.connection(), event);
        for (ParkedEvent later : behind) {
            rows.parked().insertEvent(rows.connection(), later);
        }
    }

    private static boolean isBehind(ParkedEvent there, ParkedEvent event) {
        return there.partition() == event.partition()
                ? there.offset() > event.offset()
                : there.recordTime().isAfter(event.recordTime());
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

    /** The events of a key that are parked, in order, whole. */
    List<ParkedEvent> events(ParkedKey key, int most) {
        return ask(() -> parking.inTransaction(group, rows -> {
            List<ParkedEvent> events = new ArrayList<>();
            for (String id : rows.parked().eventIds(rows.connection(), key)) {
                ParkedEvent event = events.size() < most ? rows.parked().event(rows.connection(), id) : null;
                if (event != null) {
                    events.add(event);
                }
            }
            return events;
        }));
    }

    // ---- giving up

    /** Gives a letter up: whoever meets its event from now on skips it. */
    Standing discard(Found found) {
        return ask(() -> parking.inTransaction(group, rows -> {
            MarkResult decided = rows.decided(found.mark());
            if (decided == null) {
                boolean ours = rows.mark(found.mark(), Outcome.SKIPPED);
                if (ours) {
                    rows.keep();
                }
                return ours ? Standing.READY : Standing.HELD;
            }
            if (!(decided instanceof MarkResult.Known known) || known.outcome() != Outcome.DEAD) {
                return before(rows, found);
            }
            ParkedEvent waiting =
                    rows.parked().event(rows.connection(), found.mark().eventId());
            if (waiting != null && !rows.parked().lockToLift(rows.connection(), keyOf(waiting, ""))) {
                return Standing.HELD;
            }
            if (!rows.parked().settle(rows.connection(), found.mark().eventId(), Outcome.SKIPPED.name())) {
                return before(rows, found); // somebody has just handled it
            }
            rows.forget(found.mark().eventId());
            rows.keep();
            return Standing.READY;
        }));
    }

    /** Gives up those events of a parked key; how many. */
    long discard(ParkedKey key, Set<String> eventIds) {
        return ask(() -> parking.discard(group, key, eventIds::contains));
    }

    // ---- how those fare that were handed over

    /** The events of a parked key now, by id, in order. */
    List<String> eventIds(ParkedKey key) {
        return ask(() -> parking.inTransaction(group, rows -> rows.parked().eventIds(rows.connection(), key)));
    }

    /** The same of many; keys whose events have ended by now are left out. */
    Map<ParkedKey, List<String>> eventIds(List<ParkedKey> keys) {
        Map<ParkedKey, List<String>> ids = new LinkedHashMap<>();
        for (ParkedKey key : keys) {
            List<String> events = eventIds(key);
            if (!events.isEmpty()) {
                ids.put(key, events);
            }
        }
        return ids;
    }

    /** One event that was handed over. */
    @SuppressWarnings("ArrayRecordComponent") // compared by its reader
    record Handed(String topic, byte[] key, String eventId) {}

    /** Of those that are dealt with, whether that succeeded; the others are still under way. */
    Map<Handed, Boolean> ended(Collection<Handed> handed) {
        return ask(() -> {
            List<ParkedKey> back = parking.load(group).stream()
                    .filter(key -> key.state() == State.PARKED)
                    .toList();
            Map<Handed, Boolean> ended = new HashMap<>();
            for (Handed one : handed) {
                if (parking.find(group, one.eventId()).isEmpty()) {
                    ended.put(one, !DeadAgain.isDead(parking, group, one.eventId()));
                } else if (back.stream()
                        .anyMatch(key -> key.topic().equals(one.topic()) && Arrays.equals(key.key(), one.key()))) {
                    ended.put(one, false);
                }
            }
            return ended;
        });
    }

    // ---- audit

    /** Notes that a run begins. */
    void begin(String id, RedrivePlan.Asked asked, String note, long planned, Instant now) {
        ask(() -> parking.inTransaction(group, rows -> {
            String begin = new RedriveSql(rows.sql().schema()).begin();
            try (PreparedStatement insert = rows.connection().prepareStatement(begin)) {
                insert.setString(1, id);
                rows.sql().text(insert, 2, group);
                insert.setString(3, asked.pace().requestedBy());
                insert.setString(4, note);
                insert.setString(5, asked.selection().toString());
                insert.setLong(6, planned);
                insert.setString(7, "RUNNING");
                rows.sql().time(insert, 8, now);
                rows.keep();
                return insert.executeUpdate();
            }
        }));
    }

    /** Notes what has come of it by now. */
    void note(RedriveResult result, long failed, String state) {
        ask(() -> parking.inTransaction(group, rows -> {
            String note = new RedriveSql(rows.sql().schema()).note();
            try (PreparedStatement update = rows.connection().prepareStatement(note)) {
                update.setLong(1, result.handedOver());
                update.setLong(2, failed);
                update.setLong(3, result.discarded());
                update.setString(4, state);
                update.setString(5, result.id());
                rows.keep();
                return update.executeUpdate();
            }
        }));
    }
}
