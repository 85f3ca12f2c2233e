package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static dev.eventbus.it.Events.HOUSING_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.PreparedStatement;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Parked keys on a real Kafka and a real PostgreSQL, with runners on threads that come and go. */
@ExtendWith(ServersExtension.class)
class ParkedKeysIT {

    private final Set<String> poison = ConcurrentHashMap.newKeySet();

    @Test
    void X07_a_parked_key_waits_in_order_while_runners_come_and_go_and_goes_on_after_a_redrive(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:6", "dlq.events:1")) {
            scene.execute(
                    "CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, owner varchar(255), n bigint)");
            String group = scene.group("ledger");
            JdbcInbox inbox = scene.inbox();
            poison.add("user-1-3");
            poison.add("user-2-0");
            publish(scene, 0, 10);
            ConsumerRunner first = scene.start(runner(scene, group, inbox));
            Eventually.holds(() -> inbox.parking().load(group).size() == 2, first::health);
            publish(scene, 10, 20);
            ConsumerRunner second = scene.start(runner(scene, group, inbox));
            Eventually.holds(() -> booked(scene) == 8 * 20 + 3, second::health);
            first.close();
            Eventually.holds(() -> second.health().parked().events() == 17 + 20, second::health);
            publish(scene, 20, 25);
            Eventually.holds(() -> second.health().parked().events() == 22 + 25, second::health);
            assertThat(scene.records("dlq.events")).hasSize(2);

            poison.clear();
            String topic = inbox.parking().load(group).get(0).topic();
            assertThat(inbox.parking().redrive(group, topic, "user-1".getBytes(UTF_8)))
                    .isTrue();
            assertThat(inbox.parking().redrive(group, topic, "user-2".getBytes(UTF_8)))
                    .isTrue();
            publish(scene, 25, 30);
            Eventually.holds(() -> booked(scene) == 10 * 30, second::health);
            Eventually.holds(() -> second.health().parked().keys() == 0, second::health);
            List<String> inOrder =
                    LongStream.range(0, 30).mapToObj(Long::toString).toList();
            for (int u = 0; u < 10; u++) {
                assertThat(scene.strings("SELECT n::text FROM ledger WHERE owner = 'user-" + u + "' ORDER BY ord"))
                        .isEqualTo(inOrder);
            }
            assertThat(scene.count("SELECT count(*) FROM eventbus_parked_event"))
                    .isZero();
        }
    }

    @Test
    void a_redriven_event_of_plain_on_whose_handler_takes_longer_than_the_idle_limit_is_handled_once(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1", "housing.events:1", "dlq.events:1")) {
            String group = scene.group("mailer");
            JdbcInbox inbox = scene.inbox().idleLimit(Duration.ofSeconds(1));
            AtomicInteger runs = new AtomicInteger();
            CountDownLatch returns = new CountDownLatch(1);
            ConsumerRunner runner = scene.start(ConsumerRunner.builder(scene.kafka(), group)
                    .on(ASSET_UPDATED, (event, delivery) -> {
                        if (runs.incrementAndGet() == 1) {
                            throw new IllegalStateException("no luck");
                        }
                        returns.await();
                    })
                    .inTransaction(inbox, HOUSING_UPDATED, (event, tx) -> {})
                    .retry(RetryConfig.custom().maxAttempts(1).build())
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            scene.sendRaw("asset.events", "bob", """
                    {"eventId":"b1","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"bob","newAmount":1}
                    """);
            scene.flush();
            Eventually.holds(() -> scene.records("dlq.events").size() == 1, runner::health);
            assertThat(Redrive.of(scene.kafka(), group, "dlq.events", inbox)
                            .plan()
                            .run("mended")
                            .handedOver())
                    .isEqualTo(1);
            Eventually.holds(() -> runs.get() > 1, runner::health);
            Eventually.holds(
                    () -> !scene.strings("SELECT topic FROM eventbus_parked_key FOR UPDATE SKIP LOCKED")
                            .isEmpty(),
                    () -> "the handler's session was not ended");
            assertThat(scene.count("SELECT count(*) FROM eventbus_parked_event"))
                    .isEqualTo(1);
            returns.countDown();
            Eventually.holds(() -> runner.health().parked().keys() == 0, runner::health);
            assertThat(scene.strings("SELECT outcome FROM eventbus_inbox WHERE event_id = 'b1'"))
                    .containsExactly("DONE");
            assertThat(runs).hasValue(2);
            assertThat(runner.health().problems()).isEmpty();
        }
    }

    private ConsumerRunner runner(Scene scene, String group, JdbcInbox inbox) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    long n = Objects.requireNonNull(event.payload().newAmount());
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO ledger (owner, n) VALUES (?, ?)")) {
                        insert.setString(1, event.key());
                        insert.setLong(2, n);
                        insert.executeUpdate();
                    }
                    if (poison.contains(event.key() + "-" + n)) {
                        throw new IllegalStateException("no luck");
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> 10L)
                        .build())
                .afterRetries(AfterRetries.parkKey(inbox, "dlq.events"))
                .build();
    }

    private static void publish(Scene scene, int from, int to) {
        for (int n = from; n < to; n++) {
            for (int u = 0; u < 10; u++) {
                scene.sendRaw("asset.events", "user-" + u, """
                        {"eventId":"user-%d-%d","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"user-%d","newAmount":%d}
                        """.formatted(u, n, u, n));
            }
        }
        scene.flush();
    }

    private static long booked(Scene scene) throws Exception {
        return scene.count("SELECT count(*) FROM ledger");
    }
}
