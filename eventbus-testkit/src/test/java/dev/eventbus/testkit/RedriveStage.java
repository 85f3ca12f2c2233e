package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.EventType;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import io.github.resilience4j.retry.RetryConfig;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.function.Consumer;
import javax.sql.DataSource;
import org.apache.kafka.common.header.Headers;
import org.h2.jdbcx.JdbcDataSource;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/** A bus in virtual time, an inbox in H2, and groups whose handlers fail where they are told to. */
abstract class RedriveStage {

    record Booking(String user, int n) {}

    static final EventType<Booking> BOOKING =
            EventType.of("BOOKING", Booking.class).topic("bookings").key(Booking::user);

    static final EventType<Booking> CANCELLED =
            EventType.of("CANCELLED", Booking.class).topic("bookings").key(Booking::user);

    static final String GROUP = "ledger";

    /** What happens each time the inbox takes a connection. */
    interface Hook {
        void run() throws SQLException;
    }

    /** What happens each time the inbox prepares a statement. */
    interface StatementHook {
        void run(String sql) throws SQLException;
    }

    final JdbcDataSource database = new JdbcDataSource();
    Hook onConnection = () -> {};
    StatementHook onStatement = sql -> {};

    /** What a handler with an inbox does once its effect is written, by user and number. */
    Consumer<String> inHandler = id -> {};

    FakeEventBus bus = FakeEventBus.create();
    final Set<String> failing = new HashSet<>();
    final List<String> handled = new ArrayList<>();
    final List<String> elsewhere = new ArrayList<>();
    final List<String> skipped = new ArrayList<>();
    JdbcInbox inbox = JdbcInbox.h2(database);

    @BeforeEach
    void tables() throws SQLException {
        String url = "jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1";
        database.setURL(url);
        DataSource hooked = (DataSource) Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {DataSource.class}, (proxy, method, arguments) -> {
                    onConnection.run();
                    return hooked(database.getConnection());
                });
        inbox = JdbcInbox.h2(hooked);
        inbox.createTables();
        execute("CREATE TABLE booked (ord bigint GENERATED ALWAYS AS IDENTITY, owner varchar(40), n integer)");
    }

    private Connection hooked(Connection connection) {
        return (Connection) Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {Connection.class}, (proxy, method, arguments) -> {
                    if (method.getName().equals("prepareStatement")) {
                        onStatement.run((String) arguments[0]);
                    }
                    try {
                        return method.invoke(connection, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    @AfterEach
    void close() {
        bus.close();
    }

    ConsumerRunner plain() {
        return bus.start(ConsumerRunner.builder(bus.kafka(), GROUP)
                .on(BOOKING, (event, delivery) -> {
                    String id = event.payload().user() + event.payload().n();
                    if (failing.contains(id)) {
                        throw new IllegalStateException("no luck");
                    }
                    handled.add(id);
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.deadLetter("dlq"))
                .build());
    }

    ConsumerRunner other() {
        return bus.start(ConsumerRunner.builder(bus.kafka(), "audit")
                .on(
                        BOOKING,
                        (event, delivery) -> elsewhere.add(
                                event.payload().user() + event.payload().n()))
                .listener(new RunnerListener() {
                    @Override
                    public void skipped(@Nullable String eventType, Delivery delivery) {
                        skipped.add(delivery.topic() + "@" + delivery.offset());
                    }
                })
                .afterRetries(AfterRetries.deadLetter("dlq"))
                .build());
    }

    Redrive ontoTopic() {
        return Redrive.of(bus.kafka(), GROUP, "dlq");
    }

    ConsumerRunner once(FakeEventBus on, AfterRetries after) {
        return on.start(ConsumerRunner.builder(on.kafka(), GROUP)
                .inTransaction(inbox, BOOKING, (event, tx) -> {
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO booked (owner, n) VALUES (?, ?)")) {
                        insert.setString(1, event.payload().user());
                        insert.setInt(2, event.payload().n());
                        insert.executeUpdate();
                    }
                    String id = event.payload().user() + event.payload().n();
                    inHandler.accept(id);
                    if (failing.contains(id)) {
                        throw new IllegalStateException("no luck");
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> 200L)
                        .build())
                .afterRetries(after)
                .build());
    }

    ConsumerRunner goingOn() {
        return once(bus, AfterRetries.deadLetter("dlq"));
    }

    ConsumerRunner parking() {
        return once(bus, AfterRetries.parkKey(inbox, "dlq"));
    }

    Redrive intoInbox() {
        return Redrive.of(bus.kafka(), GROUP, "dlq", inbox);
    }

    /** Letters of these, whose handlers would succeed from now. */
    void deadLetters(String... events) {
        goingOn();
        failing.addAll(List.of(events));
        for (String event : events) {
            publish(event.substring(0, event.length() - 1), event.charAt(event.length() - 1) - '0');
        }
        bus.runUntilIdle();
        failing.clear();
    }

    void publish(String user, int... numbers) {
        for (int n : numbers) {
            bus.publish(BOOKING, new Booking(user, n));
        }
    }

    static String text(Headers headers, String name) {
        return new String(headers.lastHeader(name).value(), UTF_8);
    }

    void execute(String sql) throws SQLException {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    List<Integer> booked(String owner) throws SQLException {
        return strings("SELECT n FROM booked WHERE owner = '" + owner + "' ORDER BY ord").stream()
                .map(Integer::valueOf)
                .toList();
    }

    int outcomes(String outcome) throws SQLException {
        return Integer.parseInt(strings("SELECT count(*) FROM eventbus_inbox WHERE outcome = '" + outcome + "'")
                .get(0));
    }

    List<String> strings(String sql) throws SQLException {
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
}
