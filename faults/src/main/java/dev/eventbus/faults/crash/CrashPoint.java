package dev.eventbus.faults.crash;

import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import javax.sql.DataSource;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.Producer;

/**
 * The place in a relay's or a publisher's work at which its JVM halts, as by a power cut; nothing is closed, flushed or told. Or at which it freezes,
 * and goes on when somebody thaws it.
 */
public final class CrashPoint {

    /** Where. */
    public enum Place {
        NOWHERE,
        /** The shards are this relay's and nothing has been read. */
        LEASES_TAKEN,
        /** A shard is this relay's, in mode STRICT, and whoever had it before is not shut out yet. */
        BEFORE_SHUT_OUT,
        /** Rows are read; this record was not given to the producer. */
        BEFORE_SEND,
        /** The producer has the record, the broker perhaps. */
        AFTER_SEND,
        /** The broker has the record and nobody knows; others are on their way. */
        AFTER_ACK,
        /** The broker has the records, the database has their rows. */
        BEFORE_DELETE,
        /** The rows are gone, and the relay does not know. */
        AFTER_DELETE,
        /** A publisher's row is in its transaction, and the rest is not. */
        PUBLISHED,
        /**
         * All of a transaction is done but its commit: a publisher's, a person's who unblocks or discards, or the one in which a relay blocks
         * a key.
         */
        BEFORE_COMMIT,
        /** Such a transaction is committed and nobody has been told. */
        AFTER_COMMIT,
        /** A redriver knows what is parked and has written nothing. */
        REDRIVE_PLANNED,
        /** The first key is to be handled again, the audit says that the run goes on. */
        REDRIVE_HANDED_OVER,
        /** All of it is done and noted, and nobody has been told. */
        REDRIVE_NOTED,
        /** The producer has said that a record was refused, and the relay does not know. */
        REFUSED,
        /** A key is to be blocked and its shard is not locked yet. */
        BEFORE_BLOCK
    }

    /** System property that says where. */
    public static final String PROPERTY = "eventbus.crash";

    /** What is printed before it lingers. */
    public static final String LINGERS = "@lingers";

    private static final int AS_BY_SIGKILL = 137;

    /** Longer than a parent takes to freeze it, however busy the machine is; over when it is thawed. */
    private static final Duration LINGERS_FOR = Duration.ofSeconds(5);

    /** What happens there. */
    private enum End {
        HALT,
        /** Until somebody thaws it. */
        FREEZE,
        /** One thread only and for a while, so that the parent can freeze all at a moment of its choice. */
        LINGER
    }

    private final Place place;
    private final AtomicInteger left;
    private final End end;

    private CrashPoint(Place place, int times, End end) {
        this.place = place;
        this.left = new AtomicInteger(times);
        this.end = end;
    }

    /**
     * As the system property says, such as {@code AFTER_SEND:10}, at the tenth record, or {@code AFTER_SEND:10:FREEZE}, or {@code
     * BEFORE_BLOCK:1:LINGER}; without it nowhere.
     */
    public static CrashPoint ofThisJvm() {
        String[] parts = System.getProperty(PROPERTY, Place.NOWHERE.name()).split(":");
        int times = parts.length == 1 ? 1 : Integer.parseInt(parts[1]);
        return new CrashPoint(Place.valueOf(parts[0]), times, parts.length == 3 ? End.valueOf(parts[2]) : End.HALT);
    }

    /** The caller is at a place; does not return if it is the one. */
    public void reached(Place here) {
        if (here != place || left.decrementAndGet() != 0) {
            return;
        }
        switch (end) {
            case LINGER -> linger();
            case FREEZE -> {
                System.out.println(HaltPoint.FREEZES);
                Signals.send("STOP", ProcessHandle.current().pid());
            }
            case HALT -> Runtime.getRuntime().halt(AS_BY_SIGKILL);
        }
    }

    private static void linger() {
        System.out.println(LINGERS);
        long end = System.nanoTime() + LINGERS_FOR.toNanos();
        while (System.nanoTime() - end < 0) {
            LockSupport.parkNanos(LINGERS_FOR.toNanos());
        }
    }

    /** A data source whose connections halt at a DELETE of acknowledged rows, or in a transaction. */
    public DataSource in(DataSource real) {
        return Decorator.of(DataSource.class, (method, arguments) -> {
            Object result = method.invoke(real, arguments);
            return result instanceof Connection connection ? in(connection) : result;
        });
    }

    private Connection in(Connection real) {
        return Decorator.of(Connection.class, (method, arguments) -> {
            if (method.getName().equals("setAutoCommit") && arguments[0].equals(false)) {
                reached(Place.BEFORE_BLOCK); // a relay begins one for nothing else, unless its rows are locked
            }
            boolean commits = method.getName().equals("commit");
            if (commits) {
                reached(Place.BEFORE_COMMIT);
            }
            Object result = method.invoke(real, arguments);
            if (commits) {
                reached(Place.AFTER_COMMIT);
            }
            boolean delete = result instanceof PreparedStatement
                    && String.valueOf(arguments[0]).contains("DELETE FROM \"eventbus_outbox\"");
            return delete ? in((PreparedStatement) result) : result;
        });
    }

    private PreparedStatement in(PreparedStatement real) {
        return Decorator.of(PreparedStatement.class, (method, arguments) -> {
            boolean execute = method.getName().startsWith("execute");
            if (execute) {
                reached(Place.BEFORE_DELETE);
            }
            Object result = method.invoke(real, arguments);
            if (execute) {
                reached(Place.AFTER_DELETE);
            }
            return result;
        });
    }

    /** A cluster whose producers halt at a record. */
    public KafkaCluster in(KafkaCluster real) {
        return Decorator.of(KafkaCluster.class, (method, arguments) -> {
            Object result = method.invoke(real, arguments);
            return result instanceof Producer<?, ?> producer ? in(producer) : result;
        });
    }

    private Producer<?, ?> in(Producer<?, ?> real) {
        return Decorator.of(Producer.class, (method, arguments) -> {
            if (method.getName().equals("initTransactions")) {
                reached(Place.BEFORE_SHUT_OUT);
            }
            if (!method.getName().equals("send") || arguments.length != 2) {
                return method.invoke(real, arguments);
            }
            reached(Place.BEFORE_SEND);
            Callback callback = (Callback) arguments[1];
            Callback counting = (metadata, error) -> {
                reached(error == null ? Place.AFTER_ACK : Place.REFUSED);
                callback.onCompletion(metadata, error);
            };
            Object result = method.invoke(real, arguments[0], counting);
            reached(Place.AFTER_SEND);
            return result;
        });
    }
}
