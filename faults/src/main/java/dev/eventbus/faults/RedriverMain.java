package dev.eventbus.faults;

import static java.util.stream.Collectors.toSet;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.EventBusException;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.faults.check.History.Letter;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.faults.crash.Decorator;
import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import javax.sql.DataSource;
import org.apache.kafka.common.KafkaException;

/**
 * A person on duty, who looks every second which keys are parked: what ends the process is given up, and so is what failed when it was
 * redriven and will never do, but not before its dead letter is there; everything else is redriven. Until its standard input ends.
 */
final class RedriverMain {

    private static final long LOOKS_EVERY = 1_000_000_000;
    private static final int POOL = 2;
    private static final int ANY_NUMBER = 1_000;
    private static final int AT_ONCE = 10_000;
    private static final int OF_FIRST_KEY = 2;

    private final CrashPoint crash;
    private final String bootstrapServers;

    /** Commits of a run: the first notes that it has begun, each that follows is of one key. */
    private final AtomicInteger commits = new AtomicInteger(OF_FIRST_KEY);

    private RedriverMain(CrashPoint crash, String bootstrapServers) {
        this.crash = crash;
        this.bootstrapServers = bootstrapServers;
    }

    /** @param arguments JDBC address, user, password, bootstrap servers */
    public static void main(String[] arguments) {
        RedriverMain main = new RedriverMain(CrashPoint.ofThisJvm(), arguments[3]);
        KafkaCluster kafka = KafkaCluster.of(Clients.APPLICATION.settings(arguments[3]));
        HikariDataSource database = Children.pool(arguments[0], arguments[1], arguments[2], POOL);
        Thread duty = new Thread(() -> main.look(kafka, database), "on duty");
        duty.setDaemon(true);
        duty.start();
        Children.awaitEndOfInput(command -> {});
    }

    private void look(KafkaCluster kafka, DataSource database) {
        JdbcInbox inbox = JdbcInbox.postgres(in(database));
        while (!Thread.currentThread().isInterrupted()) {
            try {
                redrive(kafka, inbox, database);
            } catch (SQLException | EventBusException | KafkaException e) {
                System.err.println("not redriven: " + e);
            }
            LockSupport.parkNanos(LOOKS_EVERY);
        }
    }

    private void redrive(KafkaCluster kafka, JdbcInbox inbox, DataSource database) throws SQLException {
        ParkingStore parking = inbox.parking();
        List<ParkedKey> parked = new ArrayList<>(parking.load(ConsumerMain.GROUP));
        parked.removeIf(key -> key.state() != ParkedKey.State.PARKED);
        Set<String> letters = parked.isEmpty() ? Set.of() : letters();
        for (ParkedKey key : parked) {
            giveUp(parking, key, letters, database);
        }
        RedrivePlan plan = Redrive.ofParked(kafka, ConsumerMain.GROUP, inbox)
                .reason(FailureReason.ATTEMPTS_EXHAUSTED) // and nothing that ends the process
                .mostRedrives(ANY_NUMBER)
                .stopsAfter(ANY_NUMBER)
                .perSecond(AT_ONCE)
                .requestedBy("the person on duty")
                .plan();
        if (plan.size() > 0) {
            crash.reached(CrashPoint.Place.REDRIVE_PLANNED);
            commits.set(0);
            plan.run("as every second");
            commits.set(OF_FIRST_KEY);
            crash.reached(CrashPoint.Place.REDRIVE_NOTED);
        }
    }

    private static void giveUp(ParkingStore parking, ParkedKey key, Set<String> letters, DataSource database)
            throws SQLException {
        ParkedEvent first = parking.first(ConsumerMain.GROUP, key).orElse(null);
        if (first != null && isHopeless(key, first.eventId())) {
            if (!first.hasFailedForGood()) {
                note(first.eventId(), database);
            } else if (!letters.contains(first.eventId())) {
                return; // one that is given up before its letter is there leaves none
            }
            parking.discard(ConsumerMain.GROUP, key, first.eventId()::equals);
            first = parking.first(ConsumerMain.GROUP, key).orElse(null);
        }
        boolean waitsForNothing = first != null && Fate.of(first.eventId()) != Fate.HALTS;
        if (waitsForNothing && key.reason().equals(FailureReason.CRASHED_HANDLER.name())) {
            boolean unused = parking.redrive(ConsumerMain.GROUP, key);
        }
    }

    private Set<String> letters() {
        try (TopicReader reader = new TopicReader(bootstrapServers)) {
            return reader.letters().stream().map(Letter::id).collect(toSet());
        }
    }

    /** Of what has not run and is given up nobody may ask for a dead letter. */
    private static void note(String eventId, DataSource database) throws SQLException {
        try (Connection connection = database.getConnection();
                PreparedStatement insert = connection.prepareStatement(WorkloadSql.giveUp())) {
            insert.setString(1, eventId);
            insert.executeUpdate();
        }
    }

    private static boolean isHopeless(ParkedKey key, String eventId) {
        return switch (Fate.of(eventId)) {
            case HALTS -> true;
            case FAILS_ALWAYS -> !Fate.isMendedByRedrive(eventId) && key.redrives() > 0;
            default -> false;
        };
    }

    private DataSource in(DataSource real) {
        return Decorator.of(DataSource.class, (method, arguments) -> {
            Object result = method.invoke(real, arguments);
            return result instanceof Connection connection ? in(connection) : result;
        });
    }

    private Connection in(Connection real) {
        return Decorator.of(Connection.class, (method, arguments) -> {
            Object result = method.invoke(real, arguments);
            if (method.getName().equals("commit") && commits.incrementAndGet() == OF_FIRST_KEY) {
                crash.reached(CrashPoint.Place.REDRIVE_HANDED_OVER);
            }
            return result;
        });
    }
}
