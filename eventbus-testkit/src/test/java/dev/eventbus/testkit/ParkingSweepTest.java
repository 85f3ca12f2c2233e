package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EventType;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.Redrive;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.UUID;
import java.util.stream.Collectors;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.Test;

/** Wherever a runner crashes while it parks a key, follows it, handles it again or lifts it: nothing is lost, doubled or out of order. */
class ParkingSweepTest {

    private record Booking(String user, int n) {}

    private static final EventType<Booking> BOOKING =
            EventType.of("BOOKING", Booking.class).topic("bookings").key(Booking::user);

    @Test
    void V01_X07_parking_and_redriving_a_key_survives_every_crash() throws Exception {
        List<CrashSweep.Crash> crashes = CrashSweep.run(() -> new Parking(Duration.ofMillis(200)));

        assertThat(crashes).extracting(CrashSweep.Crash::point).contains(CrashPoint.values());
        assertThat(crashes).hasSizeGreaterThan(60).doesNotHaveDuplicates();
    }

    @Test
    void a_key_that_waits_for_hours_before_its_next_try_survives_every_crash() throws Exception {
        assertThat(CrashSweep.run(() -> new Parking(Duration.ofHours(1)))).hasSizeGreaterThan(60);
    }

    /** One user whose third event fails for good, is parked, redriven too early and then in time, between events of others. */
    private static final class Parking implements CrashSweep.Scenario {

        private static final String GROUP = "ledger";

        private final JdbcDataSource database = new JdbcDataSource();
        private final JdbcInbox seen;
        private final Duration delay;
        private final Set<String> failing = new HashSet<>();
        private final List<DeadLetter> letters = new ArrayList<>();

        Parking(Duration delay) throws SQLException {
            this.delay = delay;
            database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
            seen = JdbcInbox.h2(database);
            seen.createTables();
            execute("CREATE TABLE booked (ord bigint GENERATED ALWAYS AS IDENTITY, owner varchar(40), n integer)");
        }

        @Override
        public void start(FakeEventBus bus) {
            JdbcInbox inbox = JdbcInbox.h2(bus.faults().dataSource(database));
            bus.start(ConsumerRunner.builder(bus.kafka(), GROUP)
                    .inTransaction(inbox, BOOKING, (event, tx) -> {
                        try (PreparedStatement insert =
                                tx.connection().prepareStatement("INSERT INTO booked (owner, n) VALUES (?, ?)")) {
                            insert.setString(1, event.payload().user());
                            insert.setInt(2, event.payload().n());
                            insert.executeUpdate();
                        }
                        if (failing.contains(
                                event.payload().user() + event.payload().n())) {
                            throw new IllegalStateException("no luck");
                        }
                    })
                    .retry(RetryConfig.custom()
                            .maxAttempts(2)
                            .intervalFunction(attempt -> delay.toMillis())
                            .build())
                    .afterRetries(AfterRetries.parkKey(inbox, "dlq"))
                    .build());
        }

        @Override
        public void run(FakeEventBus bus) throws SQLException {
            failing.addAll(List.of("bob2", "bob4"));
            publish(bus, "bob", 1, 2, 3, 4);
            publish(bus, "zoe", 1, 2);
            bus.runUntilIdle();
            redrive(bus);
            publish(bus, "zoe", 3);
            bus.runUntilIdle();
            failing.remove("bob2");
            redrive(bus);
            publish(bus, "bob", 5);
            bus.runUntilIdle();
            failing.clear();
            Redrive.ofParked(bus.kafka(), GROUP, seen).mostRedrives(9).plan().run("mended");
            publish(bus, "bob", 6, 7);
            bus.runUntilIdle();
            letters.addAll(bus.deadLetters());
        }

        private void redrive(FakeEventBus bus) throws SQLException {
            seen.parking().redrive(GROUP, "bookings", "bob".getBytes(UTF_8));
            bus.advance(Duration.ofMillis(300));
            publish(bus, "zoe", 9);
        }

        private static void publish(FakeEventBus bus, String user, int... numbers) {
            for (int n : numbers) {
                bus.publish(BOOKING, new Booking(user, n));
            }
        }

        @Override
        public Object state(FakeEventBus bus) throws SQLException {
            Map<String, String> effects = new TreeMap<>();
            for (String user : List.of("bob", "zoe")) {
                effects.put(
                        user,
                        strings("SELECT n FROM booked WHERE owner = '" + user + "' ORDER BY ord")
                                .toString());
            }
            List<String> orphans = strings("""
                    SELECT count(*) FROM eventbus_parked_event e WHERE NOT EXISTS
                      (SELECT 1 FROM eventbus_parked_key k WHERE k.topic = e.topic AND k.key_bytes = e.key_bytes)""");
            return "%s, parked %s, without a key %s, letters of %s, marks %s"
                    .formatted(
                            effects,
                            seen.parking().load(GROUP).stream()
                                    .map(ParkedKey::events)
                                    .toList(),
                            orphans,
                            letters.stream().map(DeadLetter::keyText).collect(Collectors.toCollection(TreeSet::new)),
                            strings("SELECT outcome || ' ' || count(*) FROM eventbus_inbox GROUP BY outcome"));
        }

        private void execute(String sql) throws SQLException {
            try (Connection connection = database.getConnection();
                    Statement statement = connection.createStatement()) {
                statement.execute(sql);
            }
        }

        private List<String> strings(String sql) throws SQLException {
            List<String> values = new ArrayList<>();
            try (Connection connection = database.getConnection();
                    Statement statement = connection.createStatement();
                    ResultSet row = statement.executeQuery(sql)) {
                while (row.next()) {
                    values.add(row.getString(1));
                }
            }
            return values;
        }

        @Override
        public void close() throws SQLException {
            execute("SHUTDOWN");
        }
    }
}
