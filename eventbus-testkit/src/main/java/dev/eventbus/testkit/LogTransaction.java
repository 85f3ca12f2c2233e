package dev.eventbus.testkit;

import java.util.LinkedHashSet;
import java.util.Set;

/** A Kafka transaction: its records are seen by {@code read_committed} readers once it has committed. Guarded by the broker. */
final class LogTransaction {

    enum State {
        OPEN,
        COMMITTED,
        ABORTED
    }

    private State state = State.OPEN;

    private final Set<PartitionLog> touched = new LinkedHashSet<>();

    void touches(PartitionLog log) {
        touched.add(log);
    }

    boolean isIn(State wanted) {
        return state == wanted;
    }

    /** Ends the transaction; each log it wrote to gets a marker, which takes an offset of its own. */
    void end(State end) {
        state = end;
        touched.forEach(PartitionLog::appendMarker);
    }
}
