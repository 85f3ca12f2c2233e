package dev.eventbus.consumer.redrive;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.parking.RedriveSql;
import dev.eventbus.consumer.redrive.Redrive.Source;
import dev.eventbus.internal.Checks;
import dev.eventbus.internal.InterruptFlag;
import java.sql.PreparedStatement;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Who asked for a run and what came of it: a line of {@code eventbus_redrive}, and of the log. Without an inbox only that. One thread. */
final class RedriveAudit {

    private static final Logger LOG = LoggerFactory.getLogger(RedriveAudit.class);

    private final Source source;
    private final RedrivePlan.Asked asked;
    private final @Nullable ParkingStore parking;
    private final String id = UUID.randomUUID().toString();

    RedriveAudit(Source source, RedrivePlan.Asked asked) {
        this.source = source;
        this.asked = asked;
        JdbcInbox inbox = source.inbox();
        this.parking = inbox == null ? null : inbox.parking();
    }

    String id() {
        return id;
    }

    /** Notes that a run begins. */
    void begin(String what, String note, long planned) {
        LOG.info(
                "{} {} of group {} begins, {} events planned ({}), asked for by {}: {}",
                what,
                id,
                source.group(),
                planned,
                asked.selection(),
                Checks.printable(asked.pace().requestedBy()),
                Checks.printable(note));
        ParkingStore store = parking;
        if (store == null) {
            return;
        }
        RedriveStore.ask(() -> store.inTransaction(source.group(), rows -> {
            String begin = new RedriveSql(rows.sql().schema()).begin();
            try (PreparedStatement insert = rows.connection().prepareStatement(begin)) {
                insert.setString(1, id);
                rows.sql().text(insert, 2, source.group());
                insert.setString(3, asked.pace().requestedBy());
                insert.setString(4, note);
                insert.setString(5, asked.selection().toString());
                insert.setLong(6, planned);
                insert.setString(7, "RUNNING");
                rows.sql().time(insert, 8, source.kafka().clock().instant());
                rows.keep();
                return insert.executeUpdate();
            }
        }));
    }

    /** Notes what has come of it by now, also of a run that was interrupted. */
    RedriveResult end(Tally tally, long planned, String state) {
        RedriveResult result = tally.result(id, planned);
        LOG.info("{} {}: {}", id, state, result);
        try (InterruptFlag ignored = InterruptFlag.putOff()) {
            if (parking != null) {
                note(parking, result, state);
            }
        }
        return result;
    }

    /** A run ends with an error, which is the one to tell, whatever becomes of the note. */
    void failed(Tally tally, long planned, RuntimeException error) {
        if (tally.stopped == null) {
            tally.stopped = error.getClass().getSimpleName();
        }
        try {
            end(tally, planned, "STOPPED");
        } catch (RuntimeException e) {
            error.addSuppressed(e);
        }
    }

    private void note(ParkingStore store, RedriveResult result, String state) {
        RedriveStore.ask(() -> store.inTransaction(source.group(), rows -> {
            String note = new RedriveSql(rows.sql().schema()).note();
            try (PreparedStatement update = rows.connection().prepareStatement(note)) {
                update.setLong(1, result.applied());
                update.setLong(2, result.failedAgain());
                update.setLong(3, result.discarded());
                update.setString(4, state);
                update.setString(5, result.id());
                rows.keep();
                return update.executeUpdate();
            }
        }));
    }
}
