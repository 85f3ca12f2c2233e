package dev.eventbus.faults;

import java.sql.SQLException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * What people and their supervisors do while faults last: starts again what has ended by itself, and unblocks keys that a record
 * limit has blocked. All the time, since a broker that hears nobody keeps to a limit that was taken back.
 */
final class Attendant implements AutoCloseable {

    private static final long EVERY_MILLIS = 500;
    private static final long ENDS_WITHIN_SECONDS = 60;

    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor();
    private final Fleet fleet;
    private final Damage damage;

    Attendant(Fleet fleet, Damage damage) {
        this.fleet = fleet;
        this.damage = damage;
        var unused = thread.scheduleWithFixedDelay(this::attend, 0, EVERY_MILLIS, TimeUnit.MILLISECONDS);
    }

    private void attend() {
        try {
            fleet.revive();
            damage.unblock();
        } catch (SQLException | RuntimeException e) { // some fault's doing; the next round sees the same again
            System.err.println("attendant: " + e);
        }
    }

    @Override
    public void close() throws InterruptedException {
        thread.shutdown();
        if (!thread.awaitTermination(ENDS_WITHIN_SECONDS, TimeUnit.SECONDS)) {
            thread.shutdownNow();
        }
    }
}
