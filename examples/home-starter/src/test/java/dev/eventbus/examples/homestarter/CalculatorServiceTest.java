package dev.eventbus.examples.homestarter;

import static dev.eventbus.examples.homestarter.Events.ASSET_UPDATED;
import static dev.eventbus.examples.homestarter.Events.HOUSING_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.FailureKind;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.examples.homestarter.Events.AssetUpdated;
import dev.eventbus.examples.homestarter.Events.ChangeType;
import dev.eventbus.examples.homestarter.Events.HousingUpdated;
import dev.eventbus.examples.homestarter.Events.UpdateType;
import dev.eventbus.testkit.FakeEventBus;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;

/** The calculator's own runners, as in production, on a bus in memory. */
class CalculatorServiceTest {

    private final FakeEventBus bus = FakeEventBus.create();
    private final List<String> dropped = new ArrayList<>();
    private final MeterRegistry registry = new SimpleMeterRegistry();

    private static AssetUpdated updated(String user) {
        return new AssetUpdated(user, ChangeType.ITEM_ADDED, null, null, null, null, 1L, null);
    }

    @Test
    void a_user_whose_result_cannot_be_dropped_is_dead_lettered_and_others_go_on() {
        bus.start(CalculatorService.assets(
                bus.kafka(),
                (group, eventId, of) -> {
                    if (of.equals("user:mallory")) {
                        throw new IllegalStateException();
                    }
                    dropped.add(of);
                },
                registry));
        bus.publish(ASSET_UPDATED, updated("mallory"), updated("alice"));
        bus.runUntilIdle();
        assertThat(dropped).containsExactly("user:alice");
        assertThat(bus.deadLetters()).extracting(DeadLetter::keyText).containsExactly("mallory");
        assertThat(bus.deadLetters())
                .extracting(letter -> Objects.requireNonNull(letter.origin()).attempts())
                .containsExactly(4);
    }

    @Test
    void while_redis_is_away_events_wait_without_using_attempts() {
        AtomicInteger refused = new AtomicInteger();
        bus.start(CalculatorService.assets(
                bus.kafka(),
                (group, eventId, of) -> {
                    if (refused.incrementAndGet() <= 8) {
                        throw new JedisConnectionException("refused");
                    }
                    dropped.add(of);
                },
                registry));
        bus.publish(ASSET_UPDATED, updated("alice"));
        bus.runUntilIdle();
        assertThat(dropped).containsExactly("user:alice");
        assertThat(bus.deadLetters()).isEmpty();
    }

    @Test
    void a_home_loses_its_result_and_an_event_that_names_none_the_users() {
        bus.start(CalculatorService.homes(bus.kafka(), (group, eventId, of) -> dropped.add(of), registry));
        bus.publish(
                HOUSING_UPDATED,
                new HousingUpdated("alice", "mapo-7", UpdateType.PRICE_CHANGED),
                new HousingUpdated("alice", null, null));
        bus.runUntilIdle();
        assertThat(dropped).containsExactly("housing:mapo-7", "user:alice");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "LOADING Redis is loading the dataset in memory",
                "READONLY You can't write against a read only replica.",
                "OOM command not allowed"
            })
    void what_redis_answers_while_it_cannot_work_is_an_outage(String answer) {
        assertThat(CalculatorService.kindOf(new JedisDataException(answer))).isEqualTo(FailureKind.OUTAGE);
        assertThat(CalculatorService.kindOf(new JedisDataException("WRONGTYPE Operation against a key")))
                .isEqualTo(FailureKind.RETRY);
        assertThat(CalculatorService.kindOf(new IllegalStateException("LOADING")))
                .isEqualTo(FailureKind.RETRY);
    }

    @Test
    void events_as_the_plan_has_them_written_by_hand_are_handled() throws Exception {
        bus.start(CalculatorService.assets(
                bus.kafka(), (group, eventId, of) -> dropped.add(eventId + " " + of), registry));
        bus.start(CalculatorService.homes(
                bus.kafka(), (group, eventId, of) -> dropped.add(eventId + " " + of), registry));
        bus.topic("asset.events", 3).topic("housing.events", 3);
        try (var console = bus.kafka().producer(Map.of())) {
            console.send(byHand("asset.events", "user-001", """
                    {"eventId":"evt-test-001","eventType":"ASSET_UPDATED","timestamp":"2025-12-29T10:00:00Z","userId":"user-001",\
                    "changeType":"ITEM_ADDED","ownerType":"SELF","itemType":"ASSET"}""")).get();
            console.send(byHand("housing.events", "user-id", """
                    {"eventId":"evt-uuid","eventType":"HOUSING_UPDATED","timestamp":"2025-01-15T10:40:00Z","userId":"user-id",\
                    "housingId":"housing-id","updateType":"PRICE_CHANGED","timestamp":"2025-01-15T10:40:00Z"}""")).get();
        }
        bus.runUntilIdle();
        assertThat(dropped).containsExactlyInAnyOrder("evt-test-001 user:user-001", "evt-uuid housing:housing-id");
    }

    private static ProducerRecord<byte[], byte[]> byHand(String topic, String key, String json) {
        return new ProducerRecord<>(topic, 0, key.getBytes(UTF_8), json.getBytes(UTF_8));
    }
}
