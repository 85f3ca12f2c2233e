package dev.eventbus.testkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.annotation.JsonAnyGetter;
import dev.eventbus.ErrorCode;
import dev.eventbus.Event;
import dev.eventbus.EventPublisher;
import dev.eventbus.EventType;
import dev.eventbus.PublishRefusedException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Instant;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class RecordingOutboxTest {

    record Renamed(String userId, String name) {}

    private static final EventType<Renamed> RENAMED =
            EventType.of("RENAMED", Renamed.class).topic("users").key(Renamed::userId);
    private static final EventType<Renamed> CREATED =
            EventType.of("CREATED", Renamed.class).topic("users").key(Renamed::userId);

    record Note(String userId, List<String> lines) {}

    private static final EventType<Note> NOTED =
            EventType.of("NOTED", Note.class).topic("users").key(Note::userId);

    private final RecordingOutbox outbox = new RecordingOutbox();
    private Connection connection;

    @BeforeEach
    void begin() throws SQLException {
        connection = DriverManager.getConnection("jdbc:h2:mem:");
        connection.setAutoCommit(false);
    }

    @AfterEach
    void end() throws SQLException {
        connection.close();
    }

    @Test
    void remembers_what_was_published_in_order_and_by_type() {
        EventPublisher publisher = outbox.within(connection);
        String id = publisher.publish(CREATED, new Renamed("alice", "Alice"));
        publisher.publish(Event.of(RENAMED, "evt-1", Instant.EPOCH, new Renamed("bob", "Bob"))
                .withHeader("tenant", "eu"));
        outbox.joining(work -> work.accept(connection)).publish(CREATED, new Renamed("carol", "Carol"));

        assertThat(outbox.published()).extracting(Event::key).containsExactly("alice", "bob", "carol");
        assertThat(outbox.published(CREATED))
                .extracting(event -> event.payload().name())
                .containsExactly("Alice", "Carol");
        assertThat(outbox.published(CREATED)).first().extracting(Event::id).isEqualTo(id);
        assertThat(outbox.published(RENAMED))
                .singleElement()
                .satisfies(event -> assertThat(event.headers()).containsEntry("tenant", "eu"));
    }

    @Test
    void gives_ids_in_the_form_of_productions() {
        String first = outbox.within(connection).publish(CREATED, new Renamed("alice", "Alice"));
        String second = outbox.within(connection).publish(CREATED, new Renamed("alice", "Alice"));

        assertThat(UUID.fromString(first).version()).isEqualTo(7);
        assertThat(UUID.fromString(first).variant()).isEqualTo(2);
        assertThat(second).isGreaterThan(first);
    }

    @Test
    void gives_no_id_that_a_bus_or_an_outbox_made_from_it_gives() {
        FakeEventBus bus = FakeEventBus.create();
        Set<String> ids = new HashSet<>();
        for (RecordingOutbox one : List.of(outbox, outbox.maxEventBytes(1_000), outbox.topics())) {
            ids.add(one.within(connection).publish(CREATED, new Renamed("alice", "Alice")));
            ids.add(bus.publish(CREATED, new Renamed("alice", "Alice")).get(0).id());
        }
        assertThat(ids).hasSize(6);
        bus.close();
    }

    @Test
    void refuses_what_the_encoder_refuses_and_remembers_nothing_of_the_call() {
        EventPublisher publisher = outbox.within(connection);

        assertThatThrownBy(() -> publisher.publish(CREATED, new Renamed("", "nobody")))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("has no key");
        assertThatThrownBy(() -> publisher.publishAll(List.of(
                        Event.of(CREATED, "evt-1", Instant.EPOCH, new Renamed("alice", "Alice")),
                        Event.of(CREATED, "x".repeat(129), Instant.EPOCH, new Renamed("alice", "Alice")))))
                .isInstanceOf(PublishRefusedException.class);
        assertThatThrownBy(() ->
                        publisher.publish(NOTED, new Note("alice", Collections.nCopies(5, "x".repeat(200_000)))))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("maxEventBytes");
        assertThat(outbox.published()).isEmpty();
    }

    @Test
    void refuses_connections_that_are_in_no_transaction() throws SQLException {
        connection.setAutoCommit(true);
        assertThatThrownBy(() -> outbox.within(connection).publish(CREATED, new Renamed("alice", "Alice")))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("auto-commit");
        connection.close();
        assertThatThrownBy(() -> outbox.within(connection).publish(CREATED, new Renamed("alice", "Alice")))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("closed");
        assertThatThrownBy(() -> outbox.joining(work -> {}).publish(CREATED, new Renamed("alice", "Alice")))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("did not lend a connection");
        assertThat(outbox.published()).isEmpty();
    }

    @Test
    void locks_keys_only_where_production_would_and_records_nothing() throws SQLException {
        outbox.within(connection).lockKeys("alice", "bob");
        outbox.joining(work -> {}).lockKeys();
        assertThatThrownBy(() -> outbox.within(connection).lockKeys("alice", " "))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("one of them is blank");
        assertThatThrownBy(() -> outbox.joining(work -> {}).lockKeys("alice"))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("did not lend a connection");
        connection.setAutoCommit(true);
        assertThatThrownBy(() -> outbox.within(connection).lockKeys("alice"))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("auto-commit")
                .hasMessageNotContaining("alice");
        assertThat(outbox.published()).isEmpty();
    }

    @Test
    void refuses_the_second_run_of_a_connection_source_that_runs_the_work_twice() {
        EventPublisher twice = outbox.joining(work -> {
            work.accept(connection);
            work.accept(connection);
        });

        assertThatThrownBy(() -> twice.publish(CREATED, new Renamed("alice", "Alice")))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("ran the work twice");
        assertThat(outbox.published()).hasSize(1);
    }

    /** Jackson reads it back, and it can be changed. */
    static final class Price {
        public String userId = "";
        public long amount;
    }

    private static final EventType<Price> PRICED =
            EventType.of("PRICED", Price.class).topic("users").key(price -> price.userId);

    /** It writes more than can be read back. */
    record Loose(String userId, @JsonAnyGetter Map<String, String> more) {}

    private static final EventType<Loose> LOOSE =
            EventType.of("LOOSE", Loose.class).topic("users").key(Loose::userId);

    @Test
    void remembers_what_a_payload_was_when_it_was_published() {
        Price price = new Price();
        price.userId = "bob";
        price.amount = 5;
        outbox.within(connection).publish(PRICED, price);
        price.amount = 7;

        assertThat(outbox.published(PRICED))
                .extracting(event -> event.payload().amount)
                .containsExactly(5L);
    }

    @Test
    void remembers_a_payload_that_cannot_be_read_back_as_it_was_given() {
        Loose payload = new Loose("bob", Map.of("name", "Bob"));
        outbox.within(connection).publish(LOOSE, payload);

        assertThat(outbox.published(LOOSE)).extracting(Event::payload).containsExactly(payload);
    }

    @Test
    void refuses_what_debezium_cannot_carry_if_it_relays() {
        Event<Renamed> event = Event.of(RENAMED, "evt-1", Instant.EPOCH, new Renamed("bob", "Bob"));
        RecordingOutbox read = outbox.relayedByDebezium();
        read.within(connection).publish(event.withHeader("traceparent", "00-1-2-01"));

        assertThatThrownBy(() -> read.within(connection).publish(event.withHeader("tenant", "eu")))
                .isInstanceOfSatisfying(
                        PublishRefusedException.class,
                        refused -> assertThat(refused.code()).isEqualTo(ErrorCode.HEADERS_NOT_CARRIED))
                .hasMessageContaining("Debezium");
        assertThat(read.published()).hasSize(1);
        assertThat(outbox.published()).isEmpty();
    }

    @Test
    void a_rolled_back_transaction_stays_recorded_as_documented_until_cleared() throws SQLException {
        outbox.within(connection).publish(CREATED, new Renamed("alice", "Alice"));
        connection.rollback();
        outbox.committed();

        assertThat(outbox.published()).hasSize(1);
        assertThat(outbox.commits()).isEqualTo(1);
        outbox.clear();
        assertThat(outbox.published()).isEmpty();
    }
}
