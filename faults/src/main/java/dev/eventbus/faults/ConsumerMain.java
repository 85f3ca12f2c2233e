package dev.eventbus.faults;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.Event;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.FailureKind;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.faults.check.Exits;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.faults.crash.HaltPoint;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.core.IntervalFunction;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import javax.sql.DataSource;

/**
 * A runner with an inbox, until its standard input ends. Its handler writes an effect and then fails if that is the event's {@link
 * Fate}. Told {@code outage 2000}, it fails at every event for so many milliseconds, for a reason that is not the event's; told
 * {@code healed 2000}, it fails at none that it has failed at before.
 */
final class ConsumerMain {

    static final String GROUP = "faults.group";
    static final Duration SESSION = Duration.ofSeconds(6);

    /** The handler commits by itself and nobody knows what was handled: effects are doubled, and the run has to say so. */
    static final String NO_INBOX = "no-inbox";

    static final String OUTAGE = "outage ";

    /** Handlers fail at nothing for so many milliseconds; as a property from the start on. */
    static final String HEALED = "healed ";

    static final String HEALED_PROPERTY = "faults.healed";

    /** What becomes of events that fail for good. */
    static final String PARK_KEY = "park-key";

    static final int ATTEMPTS = 4;

    static final Duration HEARTBEAT = Duration.ofMillis(1_500);
    private static final Duration CLOSES_WITHIN = Duration.ofSeconds(10);
    private static final long SLOW_NANOS = 500_000_000;
    private static final long STARTS_AGAIN_AFTER = 500_000_000;
    private static final int CONCURRENCY = 16;

    /** When the outage is over, by the monotonic clock. */
    private final AtomicLong outageEnds = new AtomicLong(System.nanoTime());

    /** Until when the handlers fail at nothing. */
    private final AtomicLong healedUntil = new AtomicLong(System.nanoTime()
            + Duration.ofMillis(Long.getLong(HEALED_PROPERTY, 0)).toNanos());

    /** Whether somebody redrives what was given up. */
    private final boolean redrives;

    private ConsumerMain(boolean redrives) {
        this.redrives = redrives;
    }

    /** @param arguments JDBC address, user, password, bootstrap servers, group protocol, {@code inbox} or {@link #NO_INBOX}, what becomes of what fails for good */
    public static void main(String[] arguments) {
        ConsumerMain main = new ConsumerMain(arguments[6].equals(PARK_KEY));
        HaltPoint halt = HaltPoint.ofThisJvm();
        KafkaCluster kafka = halt.in(CrashPoint.ofThisJvm().in(KafkaCluster.of(settings(arguments[3], arguments[4]))));
        try (HikariDataSource database = Children.pool(arguments[0], arguments[1], arguments[2], CONCURRENCY + 6);
                ConsumerRunner runner = main.started(kafka, halt.in(database), arguments[5], arguments[6])) {
            Children.awaitEndOfInput(main::hear);
            runner.close(CLOSES_WITHIN);
        }
    }

    /** A start is refused while the database does not answer; then an application's supervisor tries again, here itself. */
    private ConsumerRunner started(KafkaCluster kafka, DataSource database, String inbox, String afterRetries) {
        while (true) {
            try {
                return runner(kafka, database, inbox, afterRetries).start();
            } catch (StartRefusedException e) {
                System.err.println("not started: " + e.getMessage());
                LockSupport.parkNanos(STARTS_AGAIN_AFTER);
            }
        }
    }

    private static Map<String, String> settings(String bootstrapServers, String protocol) {
        Map<String, String> settings = Clients.APPLICATION.settings(bootstrapServers);
        if (protocol.equals("classic")) {
            settings.put("session.timeout.ms", String.valueOf(SESSION.toMillis()));
            settings.put("heartbeat.interval.ms", String.valueOf(HEARTBEAT.toMillis()));
        } else {
            settings.put("group.protocol", protocol);
        }
        return settings;
    }

    private ConsumerRunner runner(KafkaCluster kafka, DataSource database, String inbox, String afterRetries) {
        ConsumerRunnerBuilder builder = ConsumerRunner.builder(kafka, GROUP);
        JdbcInbox marks = JdbcInbox.postgres(database);
        if (inbox.equals(NO_INBOX)) {
            builder.on(Change.TYPE, (event, delivery) -> handleInOwnTransaction(event, delivery, database));
        } else {
            builder.inTransaction(
                    marks, Change.TYPE, (event, delivery) -> handle(event, delivery, delivery.connection()));
        }
        return builder.retry(RetryConfig.custom()
                        .maxAttempts(ATTEMPTS)
                        .intervalFunction(IntervalFunction.ofExponentialRandomBackoff(
                                Duration.ofMillis(25), 2.0, 0.2, Duration.ofSeconds(2)))
                        .build())
                .classify(failure -> failure instanceof Outage ? FailureKind.OUTAGE : FailureKind.RETRY)
                .afterRetries(
                        afterRetries.equals(PARK_KEY)
                                ? AfterRetries.parkKey(marks, Change.LETTERS)
                                : AfterRetries.deadLetter(Change.LETTERS))
                .concurrency(CONCURRENCY)
                .build();
    }

    private void hear(String command) {
        if (command.startsWith(OUTAGE)) {
            long millis = Long.parseLong(command.substring(OUTAGE.length()));
            outageEnds.set(System.nanoTime() + Duration.ofMillis(millis).toNanos());
        } else if (command.startsWith(HEALED)) {
            long millis = Long.parseLong(command.substring(HEALED.length()));
            healedUntil.set(System.nanoTime() + Duration.ofMillis(millis).toNanos());
        }
    }

    private void handleInOwnTransaction(Event<? extends Change> event, Delivery delivery, DataSource database)
            throws SQLException {
        try (Connection tx = database.getConnection()) {
            tx.setAutoCommit(false);
            handle(event, delivery, tx); // closing what is not committed rolls it back
            tx.commit();
        }
    }

    private void handle(Event<? extends Change> event, Delivery delivery, Connection tx) throws SQLException {
        Fate fate = Fate.of(event.id());
        boolean isRedriven = redrives && delivery.attempt() > ATTEMPTS && Fate.isMendedByRedrive(event.id());
        boolean healed = System.nanoTime() - healedUntil.get() < 0;
        boolean isBad = delivery.attempt() <= fate.failures && !isRedriven;
        boolean fails = isBad && !healed;
        boolean outage = System.nanoTime() - outageEnds.get() < 0;
        write(event, delivery.attempt(), fails || outage || fate == Fate.HALTS, isBad && healed, tx);
        if (fate == Fate.SLOW) {
            LockSupport.parkNanos(SLOW_NANOS);
        }
        if (fate == Fate.HALTS) {
            Runtime.getRuntime().halt(Exits.BY_EVENT);
        }
        if (fails) {
            throw new IllegalStateException("as it is to be");
        }
        if (outage) {
            throw new Outage();
        }
    }

    private static void write(Event<? extends Change> event, int attempt, boolean fails, boolean healed, Connection tx)
            throws SQLException {
        Change change = event.payload();
        try (PreparedStatement insert = tx.prepareStatement(WorkloadSql.insertEffect())) {
            insert.setString(1, event.id());
            insert.setString(2, change.userId());
            insert.setLong(3, change.number());
            insert.setLong(4, nth(tx, change.userId()));
            insert.setString(5, change.digest());
            insert.setLong(6, ProcessHandle.current().pid());
            insert.setInt(7, attempt);
            insert.setBoolean(8, fails);
            insert.setBoolean(9, healed);
            insert.executeUpdate();
        }
    }

    private static long nth(Connection tx, String key) throws SQLException {
        try (PreparedStatement next = tx.prepareStatement(WorkloadSql.nextEffect())) {
            next.setString(1, key);
            try (ResultSet row = next.executeQuery()) {
                row.next();
                return row.getLong(1);
            }
        }
    }

    /** What the handler depends on is out of order. */
    private static final class Outage extends RuntimeException {
        private static final long serialVersionUID = 1;
    }
}
