package dev.eventbus.consumer.redrive;

import dev.eventbus.consumer.inbox.AttemptStore.Attempts;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.inbox.RedriveRows;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkedKey.State;
import dev.eventbus.consumer.parking.RedriveSql;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** How those events fare that a run has handed over to its group. Changes nothing. */
final class HandedStore {

    /** Events asked for in one transaction. */
    private static final int BATCH = 500;

    private final ParkingStore parking;
    private final String group;

    /** What was noted of their attempts when they were first asked for. */
    private final Map<String, Attempts> before = new HashMap<>();

    HandedStore(JdbcInbox inbox, String group) {
        this.parking = inbox.parking();
        this.group = group;
    }

    /** One event that was handed over. */
    @SuppressWarnings("ArrayRecordComponent") // compared by its reader
    record Handed(String topic, byte[] key, String eventId) {}

    /** What came of one event that was handed over. */
    enum Came {
        APPLIED,
        FAILED,
        /** It is back, untried: one before it has failed, and its key is parked. */
        BEHIND,
        /** Somebody has discarded it. */
        GIVEN_UP
    }

    /** What came of those that are dealt with; the others are still under way. */
    Map<Handed, Came> ended(Collection<Handed> handed) {
        List<Handed> all = List.copyOf(handed);
        Map<Handed, Came> ended = new LinkedHashMap<>();
        Map<PlannedKeys.Id, ParkedKey> back = new HashMap<>();
        RedriveStore.ask(() -> parking.load(group)).stream()
                .filter(key -> key.state() == State.PARKED)
                .forEach(key -> back.put(PlannedKeys.Id.of(key), key));
        for (int from = 0; from < all.size(); from += BATCH) {
            List<Handed> some = all.subList(from, Math.min(all.size(), from + BATCH));
            RedriveStore.ask(() -> parking.inTransaction(group, rows -> {
                Fates fates = fates(rows, some);
                for (Handed one : some) {
                    Came came = came(rows, one, fates, back.get(PlannedKeys.Id.of(one)));
                    if (came != null) {
                        ended.put(one, came);
                    }
                }
                return ended;
            }));
        }
        return ended;
    }

    /** Whether the group has begun with one of those, so that it is there: a parked event's start is noted while its handler runs. */
    boolean isBegun(Collection<Handed> handed) {
        return RedriveStore.ask(() -> parking.inTransaction(group, rows -> {
            boolean begun = false;
            for (Handed one : handed) {
                Attempts now = rows.attempts(one.eventId());
                Attempts first = before.putIfAbsent(one.eventId(), now);
                begun |= now.starts() > 0 || first != null && !first.equals(now);
            }
            return begun;
        }));
    }

    /**
     * How events stood at one moment.
     *
     * @param outcomes of those that have a mark, by id
     * @param parked ids of those that wait
     * @param failed for keys that are back, the id of the event that has failed for good, or an empty one; asked for where it is needed
     */
    private record Fates(Map<String, Outcome> outcomes, Set<String> parked, Map<ParkedKey, String> failed) {}

    /** By one statement: a handler that ends between two would leave a mark without its outcome, and no row beside it. */
    private Fates fates(RedriveRows rows, List<Handed> events) throws SQLException {
        Fates fates = new Fates(new HashMap<>(), new HashSet<>(), new HashMap<>());
        String select = new RedriveSql(rows.sql().schema()).fates(events.size());
        try (PreparedStatement statement = rows.connection().prepareStatement(select)) {
            int parameter = 1;
            for (int part = 0; part < 2; part++) {
                rows.sql().text(statement, parameter++, group);
                for (Handed event : events) {
                    rows.sql().text(statement, parameter++, event.eventId());
                }
            }
            try (ResultSet row = statement.executeQuery()) {
                while (row.next()) {
                    String eventId = rows.sql().text(row, 1);
                    String outcome = row.getString(2);
                    if (outcome == null) {
                        fates.parked().add(eventId);
                    } else {
                        fates.outcomes().put(eventId, Outcome.valueOf(outcome));
                    }
                }
            }
        }
        return fates;
    }

    private static @Nullable Came came(RedriveRows rows, Handed one, Fates fates, @Nullable ParkedKey back)
            throws SQLException {
        Outcome now = fates.outcomes().get(one.eventId());
        if (now == Outcome.DONE) {
            return Came.APPLIED;
        }
        if (now == Outcome.SKIPPED) {
            return Came.GIVEN_UP;
        }
        if (!fates.parked().contains(one.eventId())) {
            return now == null ? Came.APPLIED : Came.FAILED; // of what is done the mark may have been purged
        }
        if (back == null) {
            return null;
        }
        if (!fates.failed().containsKey(back)) {
            ParkedEvent first = rows.parked().first(rows.connection(), back);
            fates.failed().put(back, first == null || !first.hasFailedForGood() ? "" : first.eventId());
        }
        return one.eventId().equals(fates.failed().get(back)) ? Came.FAILED : Came.BEHIND;
    }
}
