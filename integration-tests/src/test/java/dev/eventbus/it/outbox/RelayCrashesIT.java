package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.crash.CrashPoint.Place;
import dev.eventbus.faults.crash.HaltPoint;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxRelay;
import java.time.Duration;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A relay halts at the first and at the last event of all; {@link RelayInstancesIT} has it halt in the middle of many. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class RelayCrashesIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";
    private static final Duration LEASE = Duration.ofSeconds(1);
    private static final int EVENTS = 3;

    /** One event at a time, so that each step is taken once for each, and no more than one can be repeated. */
    @ParameterizedTest
    @CsvSource({
        "BEFORE_SEND, 1, 0",
        "BEFORE_SEND, 3, 0",
        "AFTER_SEND, 1, 1",
        "AFTER_SEND, 3, 1",
        "AFTER_ACK, 1, 1",
        "AFTER_ACK, 3, 1",
        "BEFORE_DELETE, 1, 1",
        "BEFORE_DELETE, 3, 1",
        "AFTER_DELETE, 1, 0",
        "AFTER_DELETE, 3, 0"
    })
    void a_crash_at_the_first_or_the_last_event_of_a_step_repeats_that_event_at_most(
            Place place, int event, int repeats, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            int published = 0;
            try (RelayProcess halts = RelayProcess.startToCrash(scene, LEASE, place + ":" + event)) {
                while (published < event) {
                    publish(scene, ++published);
                    boolean last = published == event;
                    Eventually.holds(
                            () -> last ? !halts.isAlive() : scene.count(PENDING) == 0 && halts.isAlive(), () -> halts);
                }
                assertThat(halts.awaitEnd()).as(halts::toString).isEqualTo(HaltPoint.AS_BY_SIGKILL);
            }
            assertThat(scene.count(PENDING)).isEqualTo(place == Place.AFTER_DELETE ? 0 : 1);
            while (published < EVENTS) {
                publish(scene, ++published);
            }
            OutboxRelay successor = scene.startRelay();
            Eventually.holds(() -> scene.count(PENDING) == 0, successor::health);
            List<ConsumerRecord<byte[], byte[]>> records = scene.records("asset.events");
            assertThat(SerialisedWriters.reorderedRecords(records)).isEmpty();
            assertThat(records.stream().map(SerialisedWriters::id).distinct()).hasSize(EVENTS);
            assertThat(records.size() - EVENTS).as("repeats").isLessThanOrEqualTo(repeats);
        }
    }

    private static void publish(Scene scene, int number) throws Exception {
        scene.inTransaction(tx -> scene.outbox().within(tx).publish(SerialisedWriters.event("bob", number)));
    }
}
