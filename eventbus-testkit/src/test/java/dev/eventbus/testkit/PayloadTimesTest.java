package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.ErrorCode;
import dev.eventbus.EventType;
import dev.eventbus.FailureReason;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Test;

/** A type of java.time in a payload, where Jackson's module for these is not on the class path, as it is not here. */
class PayloadTimesTest {

    record Due(String userId, Instant at) {}

    private static final EventType<Due> DUE =
            EventType.of("DUE", Due.class).topic("dues").key(Due::userId);

    @Test
    void it_is_refused_by_publish_which_says_that_a_module_is_missing() throws SQLException {
        RecordingOutbox outbox = new RecordingOutbox();
        try (Connection tx = DriverManager.getConnection("jdbc:h2:mem:times")) {
            tx.setAutoCommit(false);
            assertThatThrownBy(() -> outbox.within(tx).publish(DUE, new Due("alice", Instant.EPOCH)))
                    .isInstanceOfSatisfying(
                            PublishRefusedException.class,
                            refused -> assertThat(refused.code()).isEqualTo(ErrorCode.PAYLOAD_UNWRITABLE))
                    .hasMessageContaining("put a Jackson module for it on the class path");
        }
        assertThat(outbox.published()).isEmpty();
    }

    @Test
    void it_is_a_dead_letter_for_a_reader() throws Exception {
        FakeEventBus bus = FakeEventBus.create();
        List<Due> handled = new ArrayList<>();
        bus.start(ConsumerRunner.builder(bus.kafka(), "reminder")
                .on(DUE, (event, delivery) -> handled.add(event.payload()))
                .afterRetries(AfterRetries.deadLetter("dlq"))
                .build());
        try (var producer = bus.kafka().producer(Map.of())) {
            producer.send(new ProducerRecord<>("dues", "alice".getBytes(UTF_8), """
                            {"eventId":"evt-1","eventType":"DUE","timestamp":"2025-01-15T10:35:00Z","userId":"alice","at":"2025-01-15T10:35:00Z"}
                            """.getBytes(UTF_8)))
                    .get();
        }
        bus.runUntilIdle();
        assertThat(handled).isEmpty();
        assertThat(bus.deadLetters())
                .extracting(DeadLetter::origin)
                .extracting(origin -> Objects.requireNonNull(origin).reason())
                .containsExactly(FailureReason.BAD_VALUE);
    }
}
