package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.MockKafka.TOPIC;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Codec;
import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Outcome;
import io.github.resilience4j.retry.RetryConfig;
import java.nio.ByteBuffer;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteBufferDeserializer;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Handlers and codecs that change what they are given: each attempt begins with what stands in the record. */
class ChangedPayloadTest extends SteppedRunner {

    private static final String BYTES = "alice, two apples";

    /** The ways to a handler. */
    enum Way {
        EACH,
        EACH_IN_TRANSACTION,
        ONE_BY_ONE,
        LIST,
        LIST_IN_TRANSACTION
    }

    record Basket(String userId, List<String> items) {}

    private static final EventType<Basket> BASKET =
            EventType.of("BASKET_FILLED", Basket.class).topic(TOPIC).key(Basket::userId);

    private final JdbcDataSource database = new JdbcDataSource();
    private final List<String> seen = new ArrayList<>();
    private final List<String> told = new ArrayList<>();
    private JdbcInbox inbox = JdbcInbox.h2(database);
    private int decoded;

    @BeforeEach
    void tables() throws SQLException {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        inbox = JdbcInbox.h2(database);
        inbox.createTables();
    }

    @ParameterizedTest
    @EnumSource
    void each_attempt_gets_the_payload_as_it_stands_in_the_record(Way way) {
        ConsumerRunner runner = started(way);
        kafka.record(P0, "alice", basket("alice", "a1"));
        kafka.record(P0, "bob", basket("bob", "b1"));
        exhaust(runner);
        assertThat(seen)
                .hasSizeGreaterThanOrEqualTo(6)
                .allSatisfy(basket -> assertThat(basket).endsWith(" [apple, pear]"));
        assertThat(letterReasons()).containsExactly("ATTEMPTS_EXHAUSTED", "ATTEMPTS_EXHAUSTED");
    }

    @Test
    void each_attempt_with_a_parked_event_gets_the_payload_as_it_stands_in_its_row() {
        ConsumerRunner runner = assigned(
                ConsumerRunner.builder(kafka, "g")
                        .inTransaction(inbox, BASKET, (event, tx) -> eatAndFail(event))
                        .retry(RetryConfig.custom()
                                .maxAttempts(3)
                                .waitDuration(Duration.ofMinutes(5))
                                .build()),
                AfterRetries.parkKey(inbox, LETTERS));
        kafka.record(P0, "alice", basket("alice", "a1"));
        for (int minutes = 0; minutes < 20; minutes++) {
            settle(runner);
            kafka.advance(Duration.ofMinutes(1));
        }
        assertThat(seen).containsExactly("a1 [apple, pear]", "a1 [apple, pear]", "a1 [apple, pear]");
    }

    @Test
    void transactions_that_call_the_work_again_get_the_payload_anew() {
        inbox = JdbcInbox.h2(work -> {
            try (var connection = database.getConnection()) {
                connection.setAutoCommit(false);
                try {
                    work.accept(connection);
                } catch (IllegalStateException e) {
                    throw e;
                } catch (RuntimeException once) {
                    connection.rollback();
                    work.accept(connection);
                }
                connection.commit();
            } catch (SQLException e) {
                throw new IllegalStateException(e);
            }
        });
        ConsumerRunner runner = started(Way.EACH_IN_TRANSACTION);
        kafka.record(P0, "alice", basket("alice", "a1"));
        exhaust(runner);
        assertThat(seen)
                .as("each attempt twice")
                .hasSize(6)
                .allSatisfy(basket -> assertThat(basket).isEqualTo("a1 [apple, pear]"));
    }

    @Test
    void a_payload_is_read_once_for_each_attempt() {
        EventType<Basket> counted = EventType.of(
                        "BASKET_FILLED", Basket.class, Codec.<Basket>reading((topic, bytes) -> {
                            decoded++;
                            return new Basket("alice", new ArrayList<>(List.of("apple")));
                        }))
                .topic(TOPIC)
                .key(Basket::userId);
        ConsumerRunner runner = assigned(ConsumerRunner.builder(kafka, "g").on(counted, (event, delivery) -> {
            if (decoded < 3) {
                eatAndFail(event);
            }
        }));
        kafka.record(P0, "alice", "whatever");
        exhaust(runner);
        assertThat(decoded).isEqualTo(3);
        kafka.record(P0, "alice", "whatever");
        settle(runner);
        assertThat(decoded).isEqualTo(4);
    }

    @Test
    void a_doubled_key_is_told_once_however_often_its_event_is_tried() {
        ConsumerRunner runner = started(Way.EACH);
        kafka.record(P0, "alice", basket("alice", "a1").replace("\"items\":", "\"items\":[],\"items\":"));
        exhaust(runner);
        assertThat(seen).hasSize(3);
        assertThat(told).containsExactly("doubled BASKET_FILLED");
    }

    /** Kafka's own deserializer hands on the array that it is given. */
    @ParameterizedTest
    @EnumSource
    void a_letter_has_the_bytes_of_its_record_whatever_a_handler_does_to_a_payload_of_bytes(Way way) {
        EventType<byte[]> raw = EventType.of("RAW", byte[].class, Codec.reading(new ByteArrayDeserializer()))
                .topic(TOPIC)
                .key(bytes -> "alice");
        ConsumerRunner runner = started(way, raw, event -> {
            seen.add(new String(event.payload(), UTF_8));
            Arrays.fill(event.payload(), (byte) 0);
            throw new IllegalStateException("no luck");
        });
        ConsumerRecord<byte[], byte[]> record = kafka.record(P0, "alice", BYTES);
        kafka.record(P0, "bob", BYTES);
        exhaust(runner);
        assertThat(seen).hasSizeGreaterThanOrEqualTo(6).containsOnly(BYTES);
        assertThat(new String(record.value(), UTF_8)).isEqualTo(BYTES);
        assertThat(kafka.letters.history())
                .hasSize(2)
                .allSatisfy(
                        letter -> assertThat(new String(letter.value(), UTF_8)).isEqualTo(BYTES));
    }

    @Test
    void a_codec_that_writes_into_its_bytes_leaves_the_record_and_its_mark_alone() {
        EventType<String> inPlace = EventType.of("RAW", String.class, Codec.<String>reading((topic, bytes) -> {
                    for (int i = 0; i < bytes.length; i++) {
                        bytes[i] = (byte) Character.toUpperCase(bytes[i]);
                    }
                    return new String(bytes, UTF_8);
                }))
                .topic(TOPIC)
                .key(text -> "alice");
        ConsumerRunner runner = started(Way.EACH_IN_TRANSACTION, inPlace, event -> {
            seen.add(event.payload());
            throw new IllegalStateException("no luck");
        });
        for (int copies = 0; copies < 2; copies++) {
            kafka.record(P0, "alice", BYTES).headers().add("id", "a1".getBytes(UTF_8));
        }
        exhaust(runner);
        assertThat(seen).hasSize(3).containsOnly("ALICE, TWO APPLES");
        assertThat(told).as("the same event with the same bytes").containsExactly("repeated DEAD");
        assertThat(kafka.letters.history())
                .singleElement()
                .satisfies(
                        letter -> assertThat(new String(letter.value(), UTF_8)).isEqualTo(BYTES));
    }

    @Test
    void a_buffer_that_an_attempt_has_read_is_full_again_for_the_next() {
        EventType<ByteBuffer> raw = EventType.of("RAW", ByteBuffer.class, Codec.reading(new ByteBufferDeserializer()))
                .topic(TOPIC)
                .key(bytes -> "alice");
        ConsumerRunner runner = started(Way.EACH, raw, event -> {
            seen.add(UTF_8.decode(event.payload()).toString());
            throw new IllegalStateException("no luck");
        });
        kafka.record(P0, "alice", BYTES);
        exhaust(runner);
        assertThat(seen).containsExactly(BYTES, BYTES, BYTES);
    }

    private interface Handling<P> {
        void run(Event<P> event) throws Exception;
    }

    private ConsumerRunner started(Way way) {
        return started(way, BASKET, this::eatAndFail);
    }

    private <P> ConsumerRunner started(Way way, EventType<P> type, Handling<P> handling) {
        ConsumerRunnerBuilder builder = ConsumerRunner.builder(kafka, "g");
        return assigned(
                switch (way) {
                    case EACH -> builder.on(type, (event, delivery) -> handling.run(event));
                    case EACH_IN_TRANSACTION -> builder.inTransaction(inbox, type, (event, tx) -> handling.run(event));
                    case ONE_BY_ONE ->
                        builder.inTransaction(inbox.batching(10), type, (event, tx) -> handling.run(event));
                    case LIST -> builder.onBatch(type, 10, (events, batch) -> runAll(events, handling));
                    case LIST_IN_TRANSACTION ->
                        builder.inTransactionBatch(inbox.batching(10), type, (events, tx) -> runAll(events, handling));
                });
    }

    private static <P> void runAll(List<Event<P>> events, Handling<P> handling) throws Exception {
        for (Event<P> event : events) {
            handling.run(event);
        }
    }

    private ConsumerRunner assigned(ConsumerRunnerBuilder builder) {
        return assigned(
                builder.retry(RetryConfig.custom()
                        .maxAttempts(3)
                        .waitDuration(Duration.ofSeconds(1))
                        .build()),
                AfterRetries.deadLetter(LETTERS));
    }

    private ConsumerRunner assigned(ConsumerRunnerBuilder builder, AfterRetries afterRetries) {
        ConsumerRunner runner = builder.afterRetries(afterRetries)
                .listener(new RunnerListener() {
                    @Override
                    public void doubledKeys(String type, Delivery delivery) {
                        told.add("doubled " + type);
                    }

                    @Override
                    public void repeated(String type, Delivery delivery, Outcome known) {
                        told.add("repeated " + known);
                    }
                })
                .build();
        kafka.assign(P0);
        runner.runOnce();
        return runner;
    }

    /** As one does that takes out what it has booked, in the transaction that is rolled back. */
    private void eatAndFail(Event<Basket> event) {
        seen.add(event.id() + " " + event.payload().items());
        event.payload().items().clear();
        throw new IllegalStateException("after the payload has changed");
    }

    /** Until nobody waits for a retry any more. */
    private void exhaust(ConsumerRunner runner) {
        settle(runner);
        Instant due = runner.health().nextRetry();
        while (due != null) {
            jump(runner);
            due = runner.health().nextRetry();
        }
    }

    private static String basket(String user, String id) {
        return "{\"eventId\":\"%s\",\"eventType\":\"BASKET_FILLED\",\"timestamp\":\"2030-01-01T00:00:00Z\",\"userId\":\"%s\",\"items\":[\"apple\",\"pear\"]}"
                .formatted(id, user);
    }
}
