package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;
import org.slf4j.LoggerFactory;

/** Bytes that are no event. */
@ExtendWith(ServersExtension.class)
@Isolated("reads all that is logged")
class UndecodableIT {

    private static final String EVENT =
            "{\"eventId\":\"e\",\"eventType\":\"ASSET_UPDATED\",\"timestamp\":\"2025-01-15T10:35:00Z\",\"userId\":\"u\"";

    @Test
    void each_kind_is_dead_lettered_at_once_with_its_reason_and_its_bytes(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        Map<String, String> reasons = new LinkedHashMap<>();
        reasons.put("", "EMPTY");
        reasons.put(EVENT, "MALFORMED_JSON");
        reasons.put("hello", "MALFORMED_JSON");
        reasons.put("[1]", "BAD_ENVELOPE");
        reasons.put(EVENT.replace("\"u\"", "7") + "}", "BAD_ENVELOPE");
        reasons.put(EVENT + ",\"newAmount\":\"many\"}", "BAD_VALUE");
        reasons.put(EVENT.replace("ASSET_UPDATED", "ASSET_DELETED") + "}", "UNKNOWN_TYPE");
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1", "dlq.events:1")) {
            scene.start(runner(scene, new CopyOnWriteArrayList<>()));
            reasons.keySet().forEach(value -> scene.sendRaw("asset.events", "u", value));
            Eventually.holds(
                    () -> scene.records("dlq.events").size() == reasons.size(), () -> scene.records("dlq.events"));

            Map<String, String> seen = scene.records("dlq.events").stream()
                    .map(DeadLetter::of)
                    .collect(Collectors.toMap(
                            letter -> new String(letter.value(), UTF_8),
                            letter -> String.valueOf(letter.origin().reason())));
            assertThat(seen).isEqualTo(reasons);
        }
    }

    @Test
    void X_08_ten_thousand_random_values_are_dead_lettered_byte_for_byte_within_a_minute_and_the_runner_lives(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        SplittableRandom random = new SplittableRandom(42);
        ListAppender<ILoggingEvent> log = new ListAppender<>();
        Logger logger = (Logger) LoggerFactory.getLogger("dev.eventbus");
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1")) {
            log.start();
            logger.addAppender(log);
            List<String> handled = new CopyOnWriteArrayList<>();
            scene.start(runner(scene, handled));
            List<String> sent = new ArrayList<>();
            long begun = System.nanoTime();
            for (int i = 0; i < 10_000; i++) {
                byte[] value = new byte[1 + random.nextInt(60)];
                random.nextBytes(value);
                sent.add(Arrays.toString(value));
                scene.sendRaw("asset.events", "user-" + random.nextInt(100), value);
            }
            scene.sendRaw("asset.events", "u", EVENT + "}");
            scene.flush();
            Eventually.holds(() -> handled.contains("e"), () -> handled);
            Eventually.holds(
                    () -> scene.committed(scene.group("calculator"), "asset.events") == 10_001, () -> "not all ended");
            Duration took = Duration.ofNanos(System.nanoTime() - begun);
            System.out.printf("10,000 values sent, read and dead-lettered within %d ms%n", took.toMillis());
            assertThat(took).isLessThan(Duration.ofMinutes(1));

            assertThat(scene.records("dlq.events").stream().map(letter -> Arrays.toString(letter.value())))
                    .containsExactlyInAnyOrderElementsOf(sent);
            assertThat(List.copyOf(log.list))
                    .as("at most ten lines a second, in %s", took)
                    .hasSizeLessThanOrEqualTo(10 * (1 + (int) took.toSeconds()))
                    .allMatch(line -> line.getFormattedMessage().chars().noneMatch(c -> c < ' ' && c != '\n'));
        } finally {
            logger.detachAppender(log);
        }
    }

    private static ConsumerRunner runner(Scene scene, List<String> handled) {
        return ConsumerRunner.builder(scene.kafka(), scene.group("calculator"))
                .on(ASSET_UPDATED, (event, delivery) -> handled.add(event.id()))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }
}
