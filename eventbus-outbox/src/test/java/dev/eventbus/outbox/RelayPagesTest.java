package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.outbox.sql.Shards;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What goes to the producer together, and when the producer is told that this is all for now. */
class RelayPagesTest {

    private static final String FLUSHER = "eventbus-relay-flush";

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final RelayPass pass = new RelayPass(
            database.outbox,
            database.dataSource,
            kafka,
            new OutboxRelay.Settings(
                    "one",
                    Duration.ofSeconds(10),
                    SendMode.PIPELINED,
                    OutboxRelay.DEFAULT_MAX_RELAY_STOP,
                    new RelayListener() {}),
            OutboxRelay.Signals.NONE);

    @AfterEach
    void close() {
        pass.end(Duration.ofMillis(20));
    }

    private static Event<?>[] events(int count, int keys) {
        return IntStream.range(0, count)
                .mapToObj(i -> event("evt-" + i, "user-" + i % keys))
                .toArray(Event<?>[]::new);
    }

    private static Set<Integer> shards(List<ProducerRecord<byte[], byte[]>> records) {
        return records.stream()
                .map(message -> Shards.of(new String(message.key(), UTF_8)))
                .collect(Collectors.toSet());
    }

    @Test
    void a_page_has_something_of_every_shard_that_had_more_than_fitted() {
        database.publish(events(6_000, 400));
        pass.look(); // nothing is known of the shards yet
        int before = kafka.log.size();
        Set<Integer> sent = shards(kafka.log);
        assertThat(sent.size()).isBetween(1, Shards.COUNT - 4);

        pass.look();
        Set<Integer> next = shards(kafka.log.subList(before, kafka.log.size()));
        assertThat(next).hasSizeGreaterThanOrEqualTo(Shards.COUNT - sent.size());
    }

    @Test
    void a_shard_that_alone_has_more_than_fits_gets_the_whole_page() {
        database.publish(events(1_200, 1));
        pass.look();
        pass.look();
        assertThat(kafka.ids())
                .isEqualTo(IntStream.range(0, 1_000).mapToObj(i -> "evt-" + i).toList());
    }

    @Test
    void an_event_that_is_alone_is_not_kept_waiting_for_company() {
        kafka.answer = FakeKafka.Answer.HOLD;
        try (OutboxRelay relay =
                OutboxRelay.builder(database.outbox, database.dataSource, kafka).build()) {
            relay.start();
            database.publish(event("evt-1", "bob"));
            Eventually.isTrue(() -> !kafka.producers.isEmpty()
                    && kafka.producer().heldIds().contains("evt-1")
                    && !kafka.producer().flushedBy.isEmpty());
            assertThat(kafka.producer().flushedBy)
                    .as("the relay's own thread must not wait for the acks")
                    .containsOnly(FLUSHER);
            kafka.producer().ackAll();
        }
    }
}
