package dev.eventbus.testkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import com.fasterxml.jackson.annotation.JsonAnyGetter;
import com.fasterxml.jackson.annotation.JsonValue;
import dev.eventbus.ErrorCode;
import dev.eventbus.Event;
import dev.eventbus.EventBusException;
import dev.eventbus.EventPublisher;
import dev.eventbus.EventType;
import dev.eventbus.PublishFailedException;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.Outbox;
import dev.eventbus.topics.TopicSpec;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What one outbox refuses the other refuses too, by the same exception, and nothing comes of the call. */
@Execution(ExecutionMode.CONCURRENT)
class OutboxRefusalsTest {

    record Renamed(String userId, Object name) {}

    private static final EventType<Renamed> RENAMED =
            EventType.of("RENAMED", Renamed.class).topic("users").key(Renamed::userId);

    record Loose(String userId, @JsonAnyGetter Map<String, String> more) {}

    private static final EventType<Loose> ENVELOPED =
            EventType.of("ENVELOPED", Loose.class).topic("users").key(Loose::userId);

    private static final EventType<Renamed> ANOTHER_KEY =
            EventType.of("ANOTHER_KEY", Renamed.class).topic("users").key("name", Renamed::userId);

    record Text(@JsonValue String text) {}

    private static final EventType<Text> NO_OBJECT =
            EventType.of("NO_OBJECT", Text.class).topic("users").key(Text::text);

    private static final int LIMIT = 1_000_000;

    enum Kind {
        RECORDING {
            @Override
            Outbox create(Connection connection) {
                return new RecordingOutbox();
            }

            @Override
            Outbox limited(Outbox outbox, int maxEventBytes, TopicSpec topic) {
                return ((RecordingOutbox) outbox).maxEventBytes(maxEventBytes).topics(topic);
            }

            @Override
            int published(Outbox outbox, Connection connection) {
                return ((RecordingOutbox) outbox).published().size();
            }
        },
        JDBC {
            @Override
            Outbox create(Connection connection) throws SQLException {
                JdbcOutbox outbox = JdbcOutbox.h2();
                outbox.createTables(connection);
                return outbox;
            }

            @Override
            Outbox limited(Outbox outbox, int maxEventBytes, TopicSpec topic) {
                return ((JdbcOutbox) outbox).maxEventBytes(maxEventBytes).topics(topic);
            }

            @Override
            int published(Outbox outbox, Connection connection) throws SQLException {
                try (Statement statement = connection.createStatement();
                        ResultSet count = statement.executeQuery("SELECT count(*) FROM \"eventbus_outbox\"")) {
                    count.next();
                    return count.getInt(1);
                }
            }
        };

        abstract Outbox create(Connection connection) throws SQLException;

        abstract Outbox limited(Outbox outbox, int maxEventBytes, TopicSpec topic);

        abstract int published(Outbox outbox, Connection connection) throws SQLException;
    }

    /** What a user does wrong; the connection is in a transaction. */
    @FunctionalInterface
    interface Mistake {
        void make(Outbox outbox, Connection connection) throws SQLException;
    }

    /** A database of this test's own; this connection keeps it alive and looks at it. */
    private final String url = "jdbc:h2:mem:" + UUID.randomUUID();

    private Connection look;
    private Connection transaction;

    @BeforeEach
    void open() throws SQLException {
        look = DriverManager.getConnection(url);
        transaction = DriverManager.getConnection(url);
    }

    @AfterEach
    void close() throws SQLException {
        transaction.close();
        look.close();
    }

    private static Map<String, Mistake> all() {
        Map<String, Mistake> all = new LinkedHashMap<>();
        all.put("a blank key", publishes(RENAMED, new Renamed(" ", "x")));
        all.put("a key of 256 bytes", publishes(RENAMED, new Renamed("k".repeat(256), "x")));
        all.put("a key with NUL", publishes(RENAMED, new Renamed("a\0b", "x")));
        all.put("a key that is no Unicode", publishes(RENAMED, new Renamed("\ud800", "x")));
        all.put("a payload that is no object", publishes(NO_OBJECT, new Text("text")));
        all.put(
                "a payload with a property of the envelope",
                publishes(ENVELOPED, new Loose("bob", Map.of("eventType", "x"))));
        all.put("a key property that is not the key", publishes(ANOTHER_KEY, new Renamed("bob", "x")));
        all.put("a value over the limit", publishes(RENAMED, new Renamed("bob", lines(LIMIT))));
        all.put("a value under the limit, but not with its key", publishes(RENAMED, nearlyTooLarge(0)));
        all.put(
                "a value under the limit, but not with its headers",
                publishes(whole("evt-1", nearlyTooLarge(300)).withHeader("h", "x".repeat(300))));
        all.put("a blank id", publishes(whole("", new Renamed("bob", "x"))));
        all.put("an id of 129 bytes", publishes(whole("i".repeat(129), new Renamed("bob", "x"))));
        all.put(
                "a header of the library",
                publishes(whole("evt-1", new Renamed("bob", "x")).withHeader("eventType", "x")));
        all.put(
                "headers of more than 16 KiB",
                publishes(whole("evt-1", new Renamed("bob", "x")).withHeader("h", "x".repeat(16 * 1024))));
        all.put(
                "a traceparent that is too long",
                publishes(whole("evt-1", new Renamed("bob", "x")).withHeader("traceparent", "0".repeat(65))));
        all.put(
                "one bad event of several",
                (outbox, connection) -> outbox.within(connection)
                        .publishAll(
                                List.of(whole("evt-1", new Renamed("bob", "x")), whole("", new Renamed("bob", "x")))));
        all.put("a connection in auto-commit mode", (outbox, connection) -> {
            connection.setAutoCommit(true);
            outbox.within(connection).publish(RENAMED, new Renamed("bob", "x"));
        });
        all.put("a connection that is closed", (outbox, connection) -> {
            connection.close();
            outbox.within(connection).publish(RENAMED, new Renamed("bob", "x"));
        });
        all.put(
                "a source that lends no connection",
                (outbox, connection) -> outbox.joining(work -> {}).publish(RENAMED, new Renamed("bob", "x")));
        all.put("a source that keeps failures to itself", (outbox, connection) -> {
            connection.setAutoCommit(true);
            outbox.joining(work -> {
                        var unused = catchThrowable(() -> work.accept(connection));
                    })
                    .publish(RENAMED, new Renamed("bob", "x"));
        });
        all.put(
                "a source that returns while the work runs",
                (outbox, connection) -> publishBesideTheSource(outbox, connection));
        all.put(
                "locks of a blank key",
                (outbox, connection) -> outbox.within(connection).lockKeys("bob", ""));
        all.put(
                "locks of a key of 256 bytes",
                (outbox, connection) -> outbox.within(connection).lockKeys("k".repeat(256)));
        all.put("locks in auto-commit mode", (outbox, connection) -> {
            connection.setAutoCommit(true);
            outbox.within(connection).lockKeys("bob");
        });
        all.put("locks on a closed connection", (outbox, connection) -> {
            connection.close();
            outbox.within(connection).lockKeys("bob");
        });
        all.put(
                "locks without a connection",
                (outbox, connection) -> outbox.joining(work -> {}).lockKeys("bob"));
        return all;
    }

    /** The work has begun in another thread, and comes no further before the call has ended. */
    private static void publishBesideTheSource(Outbox outbox, Connection connection) {
        CompletableFuture<@Nullable Void> begun = new CompletableFuture<>();
        CompletableFuture<@Nullable Void> ended = new CompletableFuture<>();
        Connection slow = (Connection) Proxy.newProxyInstance(
                connection.getClass().getClassLoader(),
                new Class<?>[] {Connection.class},
                (proxy, method, arguments) -> {
                    begun.complete(null);
                    ended.join();
                    throw new SQLException("gone", "08006");
                });
        List<CompletableFuture<?>> work = new ArrayList<>();
        try {
            outbox.joining(given -> {
                        work.add(CompletableFuture.runAsync(() -> given.accept(slow)));
                        begun.join();
                    })
                    .publish(RENAMED, new Renamed("bob", "x"));
        } finally {
            ended.complete(null);
            work.forEach(one -> one.handle((done, failure) -> done).join());
        }
    }

    static Stream<Arguments> mistakes() {
        return all().entrySet().stream().map(mistake -> Arguments.of(mistake.getKey(), mistake.getValue()));
    }

    static Stream<Arguments> mistakesOfBoth() {
        return Stream.of(Kind.values())
                .flatMap(kind -> all().entrySet().stream()
                        .map(mistake -> Arguments.of(mistake.getKey(), kind, mistake.getValue())));
    }

    @ParameterizedTest(name = "{0}, {1}")
    @MethodSource("mistakesOfBoth")
    void is_refused_and_nothing_comes_of_it(String what, Kind kind, Mistake mistake) throws SQLException {
        Outbox outbox = kind.create(look);
        transaction.setAutoCommit(false);

        assertThatThrownBy(() -> mistake.make(outbox, transaction))
                .as(what)
                .isExactlyInstanceOf(PublishRefusedException.class)
                .satisfies(refused -> assertThat(((PublishRefusedException) refused).eventType())
                        .isEqualTo(what.startsWith("locks") ? "" : typeOf(what)));
        if (!transaction.isClosed()) {
            transaction.setAutoCommit(true); // which commits what there is
        }
        assertThat(kind.published(outbox, look)).isZero();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("mistakes")
    void has_the_same_code_in_both(String what, Mistake mistake) throws SQLException {
        List<@Nullable ErrorCode> codes = new ArrayList<>();
        for (Kind kind : Kind.values()) {
            Outbox outbox = kind.create(look);
            try (Connection another = DriverManager.getConnection(url)) {
                another.setAutoCommit(false);
                codes.add(refusal(outbox, another, mistake));
            }
        }
        assertThat(codes.get(0)).as(what).isNotNull().isEqualTo(codes.get(1));
    }

    @ParameterizedTest
    @CsvSource({"1500, 1048576", "1000000, 2048"})
    void an_event_is_too_large_for_both_from_the_same_byte_on(int maxEventBytes, int maxMessageBytes)
            throws SQLException {
        TopicSpec users = TopicSpec.of("users", 1).maxMessageBytes(maxMessageBytes);
        Outbox recording = Kind.RECORDING.limited(Kind.RECORDING.create(look), maxEventBytes, users);
        Outbox jdbc = Kind.JDBC.limited(Kind.JDBC.create(look), maxEventBytes, users);
        transaction.setAutoCommit(false);
        int tooLarge = 0;
        for (int characters = 1_000; characters < 2_000; characters++) {
            Mistake large = publishes(whole("evt-" + characters, new Renamed("bob", "x".repeat(characters))));
            ErrorCode code = refusal(recording, transaction, large);
            assertThat(refusal(jdbc, transaction, large))
                    .as("%d characters", characters)
                    .isEqualTo(code);
            tooLarge += code == ErrorCode.EVENT_TOO_LARGE ? 1 : 0;
        }
        assertThat(tooLarge).isBetween(1, 999);
    }

    private static @Nullable ErrorCode refusal(Outbox outbox, Connection connection, Mistake mistake)
            throws SQLException {
        try {
            mistake.make(outbox, connection);
            return null;
        } catch (PublishRefusedException refused) {
            return refused.code();
        }
    }

    private static String typeOf(String mistake) {
        return switch (mistake) {
            case "a payload that is no object" -> "NO_OBJECT";
            case "a payload with a property of the envelope" -> "ENVELOPED";
            case "a key property that is not the key" -> "ANOTHER_KEY";
            default -> "RENAMED";
        };
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void the_second_run_of_a_source_that_runs_the_work_twice_is_refused(Kind kind) throws SQLException {
        Outbox outbox = kind.create(look);
        transaction.setAutoCommit(false);
        EventPublisher twice = outbox.joining(work -> {
            work.accept(transaction);
            work.accept(transaction);
        });

        assertThatThrownBy(() -> twice.publish(RENAMED, new Renamed("bob", "x")))
                .isExactlyInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("ran the work twice");
        transaction.commit();
        assertThat(kind.published(outbox, look)).isEqualTo(1);
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void a_connection_that_does_not_answer_fails_and_does_not_count_as_refused(Kind kind) throws SQLException {
        Outbox outbox = kind.create(look);
        Connection broken = (Connection) Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {Connection.class}, (proxy, method, arguments) -> {
                    throw new SQLException("gone", "08006");
                });

        assertThat(catchThrowable(() -> outbox.within(broken).publish(whole("evt-1", new Renamed("bob", "x")))))
                .isExactlyInstanceOf(PublishFailedException.class)
                .isInstanceOf(EventBusException.class)
                .hasMessageContaining("RENAMED evt-1 was not published")
                .hasRootCauseInstanceOf(SQLException.class);
        assertThat(kind.published(outbox, look)).isZero();
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void the_largest_event_that_fits_is_published_and_so_is_no_event_at_all(Kind kind) throws SQLException {
        Outbox outbox = kind.create(look);
        transaction.setAutoCommit(false);
        outbox.within(transaction).publishAll(List.of());
        outbox.joining(work -> {}).lockKeys();
        outbox.within(transaction).publish(RENAMED, nearlyTooLarge(300));
        transaction.commit();

        assertThat(kind.published(outbox, look)).isEqualTo(1);
    }

    private static <P> Mistake publishes(EventType<P> type, P payload) {
        return (outbox, connection) -> outbox.within(connection).publish(type, payload);
    }

    private static Mistake publishes(Event<?> event) {
        return (outbox, connection) -> outbox.within(connection).publish(event);
    }

    private static Event<Renamed> whole(String id, Renamed payload) {
        return Event.of(RENAMED, id, Instant.EPOCH, payload);
    }

    /** A single string may not be that long. */
    private static List<String> lines(int characters) {
        return List.of(
                "x".repeat(characters / 5),
                "x".repeat(characters / 5),
                "x".repeat(characters / 5),
                "x".repeat(characters / 5),
                "x".repeat(characters - 4 * (characters / 5)));
    }

    /** Its value, envelope included, is so many bytes and about 50 more under the limit; the key is another 200. */
    private static Renamed nearlyTooLarge(int room) {
        String key = "k".repeat(200);
        int envelope = "{'eventId':'','eventType':'RENAMED','timestamp':'','userId':'','name':''}".length();
        int id = 36;
        int timestamp = 30;
        int brackets = 40;
        return new Renamed(key, lines(LIMIT - envelope - id - timestamp - key.length() - brackets - room));
    }
}
