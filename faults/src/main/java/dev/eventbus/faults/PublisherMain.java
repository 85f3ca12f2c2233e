package dev.eventbus.faults;

import dev.eventbus.Event;
import dev.eventbus.EventBusException;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.outbox.JdbcOutbox;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;

/**
 * An application that changes rows and publishes, until its standard input ends. Each transaction locks the counters of its keys, or
 * the keys themselves by {@code lockKeys}, writes the ledger and publishes; some roll back on purpose, some take their time. What became of a transaction whose commit
 * was not answered it does not ask: the ledger knows.
 */
final class PublisherMain {

    private static final double ROLLED_BACK = 0.10;
    private static final double SEVERAL = 0.25;
    private static final double SLOW = 0.02;
    private static final double SLOW_SECONDS = 0.3;
    private static final long TRIES_AGAIN_AFTER = 200_000_000;
    private static final long SECOND = 1_000_000_000;

    private static final int THREADS = 4;

    /** The next event is one that ends the process of its handler. */
    static final String HALTS = "halts";

    /** Class of SQLSTATEs; no fault of the run has it. */
    private static final String WRONG_STATEMENT = "42";

    private final String url;
    private final String user;
    private final String password;
    private final long everyNanos;
    private final SplittableRandom random;
    private final Keys keys = new Keys();
    private final JdbcOutbox outbox = JdbcOutbox.postgres();
    private final CrashPoint crash;
    private final Restraint restraint;
    private final AtomicBoolean halts;

    private PublisherMain(
            String[] arguments, SplittableRandom random, CrashPoint crash, Restraint restraint, AtomicBoolean halts) {
        this.url = arguments[0];
        this.user = arguments[1];
        this.password = arguments[2];
        this.everyNanos = THREADS * SECOND / Long.parseLong(arguments[3]);
        this.random = random;
        this.crash = crash;
        this.restraint = restraint;
        this.halts = halts;
    }

    /** @param arguments JDBC address, user, password, transactions a second, seed */
    public static void main(String[] arguments) {
        CrashPoint crash = CrashPoint.ofThisJvm();
        SplittableRandom random = new SplittableRandom(Long.parseLong(arguments[4]));
        Restraint restraint = new Restraint();
        AtomicBoolean halts = new AtomicBoolean();
        for (int i = 0; i < THREADS; i++) {
            PublisherMain publisher = new PublisherMain(arguments, random.split(), crash, restraint, halts);
            publisher.begin("publisher-" + i, publisher::publishOn);
        }
        PublisherMain watching = new PublisherMain(arguments, random, crash, restraint, halts);
        watching.begin("restraint", restraint::watch);
        Children.awaitEndOfInput(command -> halts.compareAndSet(false, command.equals(HALTS)));
    }

    private interface Work {
        void on(Connection database) throws SQLException;
    }

    private void begin(String name, Work work) {
        Thread thread = new Thread(() -> again(work), name);
        thread.setDaemon(true);
        thread.start();
    }

    private void again(Work work) {
        while (!Thread.currentThread().isInterrupted()) {
            try (Connection database = DriverManager.getConnection(url, user, password)) {
                work.on(database);
            } catch (SQLException | EventBusException e) {
                if (e instanceof SQLException sql
                        && String.valueOf(sql.getSQLState()).startsWith(WRONG_STATEMENT)) {
                    e.printStackTrace();
                    Runtime.getRuntime().halt(1);
                }
                System.err.println("connection given up: " + e);
                LockSupport.parkNanos(TRIES_AGAIN_AFTER);
            } catch (Throwable e) { // a process with one thread less would only look well
                e.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        }
    }

    private void publishOn(Connection database) throws SQLException {
        database.setAutoCommit(false);
        long next = System.nanoTime();
        while (!Thread.currentThread().isInterrupted()) {
            restraint.pass();
            transaction(database);
            next = Math.max(next + everyNanos, System.nanoTime() - SECOND);
            LockSupport.parkNanos(next - System.nanoTime());
        }
    }

    private void transaction(Connection tx) throws SQLException {
        boolean halting = halts.getAndSet(false);
        boolean committed = false;
        try {
            committed = transaction(tx, halting);
        } finally {
            halts.compareAndSet(false, halting && !committed);
        }
    }

    /** Returns whether it was committed. */
    private boolean transaction(Connection tx, boolean halting) throws SQLException {
        List<Event<?>> events = new ArrayList<>();
        List<String> chosen = chosenKeys();
        String[] unlocked =
                chosen.stream().filter(Keys::hasNoRowLock).distinct().toArray(String[]::new);
        if (unlocked.length > 0) {
            outbox.within(tx).lockKeys(unlocked);
        }
        for (String key : chosen) {
            Change change = new Change(key, number(tx, key), padding());
            String id = halting && events.isEmpty()
                    ? haltingId()
                    : UUID.randomUUID().toString();
            write(tx, id, change);
            events.add(Event.of(Change.TYPE, id, Instant.EPOCH, change));
        }
        outbox.within(tx).publishAll(events);
        crash.reached(CrashPoint.Place.PUBLISHED);
        if (random.nextDouble() < SLOW) {
            sleep(tx);
        }
        if (random.nextDouble() < ROLLED_BACK) {
            tx.rollback();
            return false;
        }
        crash.reached(CrashPoint.Place.BEFORE_COMMIT);
        tx.commit();
        crash.reached(CrashPoint.Place.AFTER_COMMIT);
        return true;
    }

    private static String haltingId() {
        return Fate.HALTING + UUID.randomUUID().toString().replace("-", "");
    }

    /** One, or two to five; in one order, so that publishers do not deadlock. */
    private List<String> chosenKeys() {
        if (random.nextDouble() >= SEVERAL) {
            return List.of(keys.choose(random));
        }
        return random.ints(random.nextInt(2, 6))
                .mapToObj(any -> keys.choose(random))
                .sorted()
                .toList();
    }

    /** Mostly some hundred bytes, up to 64 KiB. */
    private String padding() {
        int dice = random.nextInt(200);
        int bytes = dice == 0 ? 64 * 1024 : dice < 10 ? random.nextInt(1_000, 8_000) : random.nextInt(100, 500);
        return random.ints(bytes, 'a', 'z' + 1)
                .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                .toString();
    }

    private static long number(Connection tx, String key) throws SQLException {
        if (Keys.hasNoRowLock(key)) {
            long number = 1 + lastNumber(tx, key);
            try (PreparedStatement set = tx.prepareStatement(WorkloadSql.setNumber())) {
                set.setLong(1, number);
                set.setString(2, key);
                set.executeUpdate();
            }
            return number;
        }
        try (PreparedStatement next = tx.prepareStatement(WorkloadSql.nextNumber())) {
            next.setString(1, key);
            try (ResultSet row = next.executeQuery()) {
                row.next();
                return row.getLong(1);
            }
        }
    }

    private static long lastNumber(Connection tx, String key) throws SQLException {
        try (PreparedStatement last = tx.prepareStatement(WorkloadSql.lastNumber())) {
            last.setString(1, key);
            try (ResultSet row = last.executeQuery()) {
                row.next();
                return row.getLong(1);
            }
        }
    }

    private static void write(Connection tx, String id, Change change) throws SQLException {
        try (PreparedStatement insert = tx.prepareStatement(WorkloadSql.insertLedger())) {
            insert.setString(1, id);
            insert.setString(2, change.userId());
            insert.setLong(3, change.number());
            insert.setString(4, change.digest());
            insert.executeUpdate();
        }
    }

    private static void sleep(Connection tx) throws SQLException {
        try (PreparedStatement sleep = tx.prepareStatement(WorkloadSql.sleep())) {
            sleep.setDouble(1, SLOW_SECONDS);
            sleep.execute();
        }
    }
}
