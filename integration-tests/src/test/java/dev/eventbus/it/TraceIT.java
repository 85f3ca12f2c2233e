package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.EventHeaders;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.slf4j.MDC;

/** From {@code publish} over outbox, relay and Kafka to the handler. */
@ExtendWith(ServersExtension.class)
class TraceIT {

    private static final String TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    private static final String TRACESTATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

    @Test
    void trace_and_headers_reach_the_handler_unchanged_and_the_trace_its_log(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1")) {
            List<Event<AssetUpdated>> handled = new CopyOnWriteArrayList<>();
            List<Map<String, String>> logged = new CopyOnWriteArrayList<>();
            scene.start(ConsumerRunner.builder(scene.kafka(), scene.group("calculator"))
                    .on(ASSET_UPDATED, (event, delivery) -> {
                        logged.add(MDC.getCopyOfContextMap());
                        handled.add(event);
                    })
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            scene.startRelay();
            Event<AssetUpdated> traced = Event.of(
                            ASSET_UPDATED, "evt-1", Instant.EPOCH, AssetUpdated.amount("alice", 1))
                    .withHeader("tenant", "eu")
                    .withHeader(EventHeaders.TRACEPARENT, TRACEPARENT)
                    .withHeader("사용자", "한국어 \"1\"\n")
                    .withHeader(EventHeaders.TRACESTATE, TRACESTATE)
                    .withHeader("empty", "");
            Event<AssetUpdated> plain =
                    Event.of(ASSET_UPDATED, "evt-2", Instant.EPOCH, AssetUpdated.amount("alice", 2));
            scene.inTransaction(tx -> scene.outbox().within(tx).publishAll(List.of(traced, plain)));

            Eventually.holds(() -> handled.size() == 2, () -> handled);
            assertThat(handled).containsExactly(traced, plain);
            assertThat(handled.get(0).headers()).containsExactlyInAnyOrderEntriesOf(traced.headers());
            assertThat(logged.get(0))
                    .containsEntry("traceparent", TRACEPARENT)
                    .containsEntry("tracestate", TRACESTATE)
                    .containsEntry("eventbus.eventId", "evt-1")
                    .doesNotContainKey("tenant");
            assertThat(logged.get(1)).containsEntry("eventbus.eventId", "evt-2").doesNotContainKey("traceparent");
        }
    }
}
