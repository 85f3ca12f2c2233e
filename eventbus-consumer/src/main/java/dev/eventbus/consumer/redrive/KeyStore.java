package dev.eventbus.consumer.redrive;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.inbox.RedriveRows;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkedKey.State;
import dev.eventbus.consumer.parking.ParkedRows;
import dev.eventbus.consumer.parking.ParkedRows.Held;
import dev.eventbus.consumer.redrive.PlannedKeys.LeftOut;
import dev.eventbus.consumer.redrive.PlannedKeys.Waiting;
import dev.eventbus.internal.RunLoop;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What a redrive sees of a group's parked keys, and does with them. Each method is one short transaction, or several where it says so. */
final class KeyStore {

    private static final int MOST_EVENTS = 500;
    private static final long MOST_BYTES = 16L * 1024 * 1024;

    /** For so long it is tried again what somebody else has in hand, */
    static final Duration HELD_FOR = Duration.ofSeconds(1);

    /** with such pauses: between two of its events a key that is being handled again is free. */
    static final Duration LOOKS_AGAIN = Duration.ofMillis(10);

    private final ParkingStore parking;
    private final String group;

    KeyStore(JdbcInbox inbox, String group) {
        this.parking = inbox.parking();
        this.group = group;
    }

    // ---- looking

    /**
     * The parked keys of a group.
     *
     * @param meant that are to be handled again, and what of them waits
     * @param leftOut that are selected too, and are not
     * @param others how many are not selected
     */
    record Seen(Map<ParkedKey, Waiting> meant, List<LeftOut> leftOut, int others) {

        static Seen nothing() {
            return new Seen(Map.of(), List.of(), 0);
        }
    }

    /**
     * Those that are selected, and those of letters that are: whose letter is handled again, all of it is. Several transactions; what
     * has ended by now is left out.
     */
    Seen look(Selection selection, List<Found> letters, int mostRedrives) {
        Set<PlannedKeys.Id> ready = keysOf(letters, Standing.READY);
        Set<PlannedKeys.Id> lettersOf =
                keysOf(letters, Standing.UNDER_WAY); // put in its place by a run that was stopped
        lettersOf.addAll(ready);
        Map<ParkedKey, Waiting> meant = new LinkedHashMap<>();
        List<LeftOut> leftOut = new ArrayList<>();
        int others = 0;
        for (ParkedKey key : RedriveStore.ask(() -> parking.load(group))) {
            boolean itself = selection.fits(key);
            boolean isMeant = itself || lettersOf.contains(PlannedKeys.Id.of(key));
            boolean waits = itself && key.state() == State.WAITING && !selection.namesKey();
            Waiting waiting = isMeant && key.events() > 0 ? waiting(key, itself && !waits) : Waiting.NOTHING;
            if (!waiting.ids().isEmpty()) {
                boolean bringsLetter =
                        ready.contains(PlannedKeys.Id.of(key)); // then it goes as a whole, whatever it waits for
                Standing why = standing(key, waits && !bringsLetter, mostRedrives);
                if (why == Standing.READY) {
                    meant.put(key, waiting);
                } else {
                    leftOut.add(new LeftOut(key, waiting, why, waiting.selected() && canBeGivenUp(why, selection)));
                }
            }
            others += isMeant || key.events() == 0 ? 0 : 1;
        }
        return new Seen(meant, leftOut, others);
    }

    private static Set<PlannedKeys.Id> keysOf(List<Found> letters, Standing standing) {
        Set<PlannedKeys.Id> keys = new HashSet<>();
        letters.stream()
                .filter(found -> found.standing() == standing)
                .forEach(found -> keys.add(PlannedKeys.Id.of(found)));
        return keys;
    }

    private static Standing standing(ParkedKey key, boolean waits, int mostRedrives) {
        if (key.state() == State.REDRIVE) {
            return Standing.UNDER_WAY;
        }
        if (waits) {
            return Standing.WAITING;
        }
        return key.redrives() < mostRedrives ? Standing.READY : Standing.TOO_OFTEN;
    }

    /** What is being handled is given up only if somebody has named it. */
    private static boolean canBeGivenUp(Standing why, Selection selection) {
        return why == Standing.TOO_OFTEN || why == Standing.UNDER_WAY && selection.namesKey();
    }

    private Waiting waiting(ParkedKey key, boolean itself) {
        return RedriveStore.ask(() -> parking.inTransaction(group, rows -> {
            Set<String> ids = PlannedKeys.inOrder();
            Set<Position> places = new HashSet<>();
            for (ParkedRows.Place place : rows.parked().places(rows.connection(), key)) {
                ids.add(place.eventId());
                places.add(new Position(place.partition(), place.offset()));
            }
            return new Waiting(ids, places, itself);
        }));
    }

    /** The events of a parked key now, by id, in order. */
    List<String> eventIds(ParkedKey key) {
        return RedriveStore.ask(() ->
                parking.inTransaction(group, rows -> rows.parked().eventIds(rows.connection(), key)));
    }

    /**
     * Parked events, whole.
     *
     * @param events as many as memory holds easily; without those that are not parked any more
     * @param next of the ids, the first that was not looked at
     */
    record Some(List<ParkedEvent> events, int next) {}

    Some events(List<String> ids, int from) {
        return RedriveStore.ask(() -> parking.inTransaction(group, rows -> {
            List<ParkedEvent> events = new ArrayList<>();
            long bytes = 0;
            int next = from;
            while (next < ids.size() && events.size() < MOST_EVENTS && bytes < MOST_BYTES) {
                ParkedEvent event = rows.parked().event(rows.connection(), ids.get(next++));
                if (event != null) {
                    events.add(event);
                    bytes += event.headers().length + (event.value() == null ? 0 : event.value().length);
                }
            }
            return new Some(events, next);
        }));
    }

    // ---- changing

    /**
     * What came of a key that was to be handled again.
     *
     * @param events those of its planned ones that are, by id, in order
     */
    record Going(Standing standing, List<String> events) {

        private static Going not(Standing why) {
            return new Going(why, List.of());
        }
    }

    /**
     * A key that is parked is handled again, if one of the planned events is still there: else it has been parked anew since, for reasons
     * that nobody looked at. A key that another person has in hand is HELD; that is waited for, for a second.
     */
    Going redrive(ParkedKey key, Set<String> planned, int mostRedrives) {
        Going[] going = {Going.not(Standing.HELD)};
        RunLoop.await(HELD_FOR, LOOKS_AGAIN, () -> {
            if (!Thread.currentThread().isInterrupted()) { // a pool gives it no connection
                going[0] = RedriveStore.ask(() -> tryRedrive(key, planned, mostRedrives));
            }
            return going[0].standing() != Standing.HELD;
        });
        return going[0];
    }

    private Going tryRedrive(ParkedKey key, Set<String> planned, int mostRedrives) throws SQLException {
        try {
            return parking.inTransaction(group, rows -> redrive(rows, key, planned, mostRedrives));
        } catch (SQLException e) {
            if (parking.isLocked(e)) {
                return Going.not(isWaitingForSomebody(key) ? Standing.HELD : Standing.UNDER_WAY);
            }
            throw e;
        }
    }

    private static Going redrive(RedriveRows rows, ParkedKey key, Set<String> planned, int mostRedrives)
            throws SQLException {
        Held held = rows.parked().lockToChange(rows.connection(), key.topic(), key.key());
        List<String> there = held == null
                ? List.of()
                : rows.parked().eventIds(rows.connection(), key).stream()
                        .filter(planned::contains)
                        .toList();
        if (held == null || there.isEmpty()) {
            return Going.not(Standing.ALREADY_APPLIED);
        }
        if (held.redrives() >= mostRedrives) {
            return Going.not(Standing.TOO_OFTEN);
        }
        rows.parked().redrive(rows.connection(), key.topic(), key.key(), held);
        rows.keep();
        return new Going(Standing.READY, there);
    }

    /** Then no handler of it runs, and whoever has locked it is another person. */
    private boolean isWaitingForSomebody(ParkedKey key) throws SQLException {
        return parking.load(group).stream()
                .filter(now -> PlannedKeys.Id.of(now).equals(PlannedKeys.Id.of(key)))
                .anyMatch(now -> now.state() == State.PARKED);
    }

    /**
     * Gives up those events of a parked key; how many. None while its first event is being handled, when the key's row is locked, nor if
     * somebody else has what belongs to it in hand: then it may be tried again.
     */
    long discard(ParkedKey key, Set<String> eventIds) {
        return RedriveStore.ask(() -> {
            try {
                return (long) parking.skip(group, key, eventIds::contains);
            } catch (SQLException e) {
                if (parking.isLocked(e) || RedriveStore.isConflict(e)) {
                    return 0L;
                }
                throw e;
            }
        });
    }
}
