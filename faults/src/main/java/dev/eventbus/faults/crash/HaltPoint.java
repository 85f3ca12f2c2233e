package dev.eventbus.faults.crash;

import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import javax.sql.DataSource;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetCommitCallback;

/**
 * The place in a runner's work at which its JVM halts, as by a power cut, or freezes until somebody thaws it. All of them are calls
 * of the database or of Kafka's consumer.
 */
public final class HaltPoint {

    /** Where. */
    public enum Place {
        NOWHERE,
        /** Records have been read, nobody has them yet. */
        POLLED,
        /** A record was read as an event, the inbox knows nothing of it. */
        DECODED,
        /** A failure is noted durably, the next try has not begun. */
        ATTEMPT_NOTED,
        /** The mark stands in the handler's transaction, the handler has not begun. */
        MARKED,
        /** The handler has returned. */
        BEFORE_COMMIT,
        /** Mark and effect are there, and the runner does not know. */
        AFTER_COMMIT,
        /** Events have ended, their offsets are about to be committed. */
        BEFORE_OFFSETS,
        /** The group's offsets are committed. */
        AFTER_OFFSETS,
        /** An event is parked, in a transaction that is not committed. */
        BEFORE_PARKED,
        /** An event is parked, and the runner does not know. */
        AFTER_PARKED,
        /** A parked event is handled, in a transaction that is not committed. */
        BEFORE_DRAINED,
        /** A parked event is handled, and the runner does not know. */
        AFTER_DRAINED,
        /** A parked key has no events left, and is about to be lifted. */
        BEFORE_LIFTED,
        /** A key is not parked any more, and the runner does not know. */
        AFTER_LIFTED,
        /** Partitions are being handed over and what has ended of them is about to be committed. */
        IN_REVOKE
    }

    /** System property that says where. */
    public static final String PROPERTY = "eventbus.halt";

    /** What is said before it freezes. */
    public static final String FREEZES = "@freezes";

    /** Exit code of a JVM that has halted. */
    public static final int AS_BY_SIGKILL = 137;

    private final Place place;
    private final AtomicInteger left;
    private final boolean freezes;

    private HaltPoint(Place place, int times, boolean freezes) {
        this.place = place;
        this.left = new AtomicInteger(times);
        this.freezes = freezes;
    }

    /** As the property says, such as {@code MARKED:7}, at the seventh time, or {@code MARKED:7:FREEZE}; without it nowhere. */
    public static HaltPoint ofThisJvm() {
        String[] parts = System.getProperty(PROPERTY, Place.NOWHERE.name()).split(":");
        int times = parts.length == 1 ? 1 : Integer.parseInt(parts[1]);
        return new HaltPoint(Place.valueOf(parts[0]), times, parts.length == 3);
    }

    private void reached(Place here) {
        if (here != place || left.decrementAndGet() != 0) {
            return;
        }
        if (freezes) {
            System.out.println(FREEZES);
            Signals.send("STOP", ProcessHandle.current().pid());
        } else {
            Runtime.getRuntime().halt(AS_BY_SIGKILL);
        }
    }

    /** A data source whose transactions halt. */
    public DataSource in(DataSource real) {
        return Decorator.of(DataSource.class, (method, arguments) -> {
            Object result = method.invoke(real, arguments);
            return result instanceof Connection connection ? in(connection) : result;
        });
    }

    /** What a transaction has done to parked keys, and where that halts: before its commit and after. */
    private enum Parking {
        PARKED("INSERT INTO eventbus_parked_event", Place.BEFORE_PARKED, Place.AFTER_PARKED),
        DRAINED("DELETE FROM eventbus_parked_event", Place.BEFORE_DRAINED, Place.AFTER_DRAINED),
        LIFTED("DELETE FROM eventbus_parked_key", Place.BEFORE_LIFTED, Place.AFTER_LIFTED);

        private final String statement;
        private final Place before;
        private final Place after;

        Parking(String statement, Place before, Place after) {
            this.statement = statement;
            this.before = before;
            this.after = after;
        }
    }

    private Connection in(Connection real) {
        AtomicBoolean marked = new AtomicBoolean();
        AtomicBoolean attempted = new AtomicBoolean();
        Set<Parking> parking = EnumSet.noneOf(Parking.class);
        return Decorator.of(Connection.class, (method, arguments) -> {
            boolean commits = method.getName().equals("commit");
            if (commits) {
                parking.forEach(done -> reached(done.before));
                if (marked.get()) {
                    reached(Place.BEFORE_COMMIT);
                }
            }
            Object result = method.invoke(real, arguments);
            if (commits) {
                parking.forEach(done -> reached(done.after));
                if (marked.getAndSet(false)) {
                    reached(Place.AFTER_COMMIT);
                }
                if (attempted.getAndSet(false)) {
                    reached(Place.ATTEMPT_NOTED);
                }
            }
            if (commits || method.getName().equals("rollback") && arguments.length == 0) {
                parking.clear();
            }
            if (!(result instanceof PreparedStatement statement)) {
                return result;
            }
            String sql = String.valueOf(arguments[0]);
            attempted.compareAndSet(false, sql.contains("INSERT INTO eventbus_attempt"));
            Stream.of(Parking.values())
                    .filter(done -> sql.contains(done.statement))
                    .forEach(parking::add);
            return sql.contains("INSERT INTO eventbus_inbox") ? in(statement, marked) : statement;
        });
    }

    private PreparedStatement in(PreparedStatement real, AtomicBoolean marked) {
        return Decorator.of(PreparedStatement.class, (method, arguments) -> {
            boolean execute = method.getName().startsWith("execute");
            if (execute) {
                reached(Place.DECODED);
            }
            Object result = method.invoke(real, arguments);
            if (execute) {
                marked.set(true);
                reached(Place.MARKED);
            }
            return result;
        });
    }

    /** A cluster whose consumers halt. */
    public KafkaCluster in(KafkaCluster real) {
        return Decorator.of(KafkaCluster.class, (method, arguments) -> {
            Object result = method.invoke(real, arguments);
            return result instanceof Consumer<?, ?> consumer ? in(consumer) : result;
        });
    }

    private Consumer<?, ?> in(Consumer<?, ?> real) {
        AtomicBoolean revoking = new AtomicBoolean();
        return Decorator.of(Consumer.class, (method, arguments) -> {
            switch (method.getName()) {
                case "subscribe" -> arguments[1] = in((ConsumerRebalanceListener) arguments[1], revoking);
                case "commitSync" -> {
                    if (revoking.get()) {
                        reached(Place.IN_REVOKE);
                    }
                }
                case "commitAsync" -> {
                    reached(Place.BEFORE_OFFSETS);
                    arguments[1] = in((OffsetCommitCallback) arguments[1]);
                }
                default -> {}
            }
            Object result = method.invoke(real, arguments);
            if (result instanceof ConsumerRecords<?, ?> records && !records.isEmpty()) {
                reached(Place.POLLED);
            }
            return result;
        });
    }

    private OffsetCommitCallback in(OffsetCommitCallback real) {
        return (offsets, failure) -> {
            if (failure == null) {
                reached(Place.AFTER_OFFSETS);
            }
            real.onComplete(offsets, failure);
        };
    }

    private static ConsumerRebalanceListener in(ConsumerRebalanceListener real, AtomicBoolean revoking) {
        return Decorator.of(ConsumerRebalanceListener.class, (method, arguments) -> {
            revoking.set(method.getName().equals("onPartitionsRevoked"));
            try {
                return method.invoke(real, arguments);
            } finally {
                revoking.set(false);
            }
        });
    }
}
