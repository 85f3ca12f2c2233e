package dev.eventbus.it.outbox;

import static dev.eventbus.it.outbox.SerialisedWriters.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.RelayListener;
import dev.eventbus.outbox.SendMode;
import dev.eventbus.outbox.sql.Shards;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Mode STRICT on real servers, as a read_committed reader sees it. */
@ExtendWith(ServersExtension.class)
class StrictRelayIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";

    /** A relay in mode STRICT that writes down what goes wrong. */
    private record Running(OutboxRelay relay, Queue<String> faults) implements AutoCloseable {

        static Running start(Scene scene) {
            Queue<String> faults = new ConcurrentLinkedQueue<>();
            OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                    .sendMode(SendMode.STRICT)
                    .listener(new RelayListener() {
                        @Override
                        public void sendFailed(String eventId, String topic, Exception error) {
                            faults.add("%s failed: %s".formatted(eventId, error));
                        }

                        @Override
                        public void deletedByOthers(int rows) {
                            faults.add("%d rows deleted by others".formatted(rows));
                        }
                    })
                    .build();
            relay.start();
            return new Running(relay, faults);
        }

        @Override
        public void close() {
            relay.close();
        }
    }

    private static List<String> ids(List<ConsumerRecord<byte[], byte[]>> records) {
        return records.stream().map(SerialisedWriters::id).toList();
    }

    @Test
    void writers_that_serialise_on_a_contended_key_are_never_reordered_nor_repeated(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                Running strict = Running.start(scene)) {
            long committed =
                    SerialisedWriters.on(scene.database(), scene.outbox()).write();
            Eventually.holds(() -> scene.count(PENDING) == 0, strict.relay()::health);
            awaitSeen(scene, committed);
            List<String> ids = ids(scene.records("asset.events"));
            assertThat(SerialisedWriters.reordered(ids)).isEmpty();
            assertThat(ids).hasSize((int) committed).doesNotHaveDuplicates();
            assertThat(strict.faults()).isEmpty();
        }
    }

    @Test
    void two_services_with_equal_names_on_one_cluster_never_shut_each_other_out(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene asset = Scene.create(kafka, postgres, "asset.events:3");
                Scene housing = Scene.create(kafka, postgres, "asset.events:3");
                Running one = Running.start(asset);
                Running other = Running.start(housing)) {
            ExecutorService services = Executors.newFixedThreadPool(2);
            Future<Long> assets = services.submit(
                    () -> SerialisedWriters.on(asset.database(), asset.outbox()).write());
            Future<Long> houses = services.submit(() ->
                    SerialisedWriters.on(housing.database(), housing.outbox()).write());
            long committed = assets.get();
            long committedToo = houses.get();
            services.shutdown();
            Eventually.holds(() -> asset.count(PENDING) == 0, one.relay()::health);
            Eventually.holds(() -> housing.count(PENDING) == 0, other.relay()::health);
            awaitSeen(asset, committed);
            awaitSeen(housing, committedToo);
            assertThat(ids(asset.records("asset.events")))
                    .hasSize((int) committed)
                    .doesNotHaveDuplicates();
            assertThat(ids(housing.records("asset.events")))
                    .hasSize((int) committedToo)
                    .doesNotHaveDuplicates();
            assertThat(one.faults()).isEmpty();
            assertThat(other.faults()).isEmpty();
        }
    }

    @Test
    void an_event_that_became_too_large_blocks_its_key_and_nothing_else(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            Event<?>[] events = IntStream.range(0, 600)
                    .mapToObj(i -> event("user-" + i % 20, i / 20 + 1))
                    .toArray(Event<?>[]::new);
            scene.inTransaction(tx -> scene.outbox().within(tx).publishAll(List.of(events)));
            scene.execute(
                    "UPDATE eventbus_outbox SET payload = (SELECT convert_to(string_agg(md5(i::text), ''), 'UTF8') FROM generate_series(1, 2000) i) WHERE id = 'user-7:10'");
            RecordLimit.set(scene, "asset.events", 20_000);
            try (Running strict = Running.start(scene)) {
                Eventually.holds(() -> scene.count(PENDING) == 21, strict.relay()::health);
                Eventually.holds(
                        () -> scene.count("SELECT count(*) FROM eventbus_blocked_key WHERE event_id = 'user-7:10'")
                                == 1,
                        strict.relay()::health);
                List<String> ids = ids(scene.records("asset.events"));
                assertThat(ids).hasSize(579).doesNotHaveDuplicates();
                assertThat(SerialisedWriters.reordered(ids)).isEmpty();
                assertThat(strict.relay().health().waitingTopics()).isEmpty();
                assertThat(strict.faults()).hasSize(2).allMatch(fault -> fault.startsWith("user-7:10 failed"));

                scene.inTransaction(tx -> scene.outbox().within(tx).publish(event("user-8", 31)));
                Eventually.holds(() -> scene.count(PENDING) == 21, strict.relay()::health);
            }
        }
    }

    @Test
    void a_producer_whose_shard_was_taken_over_is_shut_out_and_its_batch_is_seen_by_nobody(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            String outbox = scene.strings("SELECT value FROM eventbus_meta WHERE name = 'outbox_id'")
                    .get(0);
            String id = "eventbus-%s-%s-%d".formatted(outbox, scene.kafka().name(), Shards.of("user-1"));
            try (Producer<byte[], byte[]> zombie = scene.kafka().producer(Map.of("transactional.id", id))) {
                zombie.initTransactions();
                zombie.beginTransaction();
                ProducerRecord<byte[], byte[]> late =
                        new ProducerRecord<>(scene.kafka().physicalTopic("asset.events"), new byte[] {1});
                late.headers().add("id", "late".getBytes(java.nio.charset.StandardCharsets.UTF_8));
                zombie.send(late).get();
                scene.inTransaction(tx -> scene.outbox().within(tx).publish(event("user-1", 1)));
                try (Running strict = Running.start(scene)) {
                    Eventually.holds(Duration.ofSeconds(30), () -> scene.count(PENDING) == 0, strict.relay()::health);
                    awaitSeen(scene, 1);
                    assertThat(ids(scene.records("asset.events"))).containsExactly("user-1:1");
                    assertThatThrownBy(zombie::commitTransaction).isInstanceOf(ProducerFencedException.class);
                    assertThat(ids(scene.records("asset.events"))).containsExactly("user-1:1");
                    assertThat(strict.faults()).isEmpty();
                }
            }
        }
    }

    /**
     * Without a successor the cluster itself ends what a dead relay left open, when it next looks for transactions older than their
     * limit, which is the lease. Here it looks every 500 ms; its default is 10 s.
     */
    @Test
    void what_a_killed_relay_left_open_is_ended_by_the_cluster_at_its_next_look_after_the_lease(PostgresServer postgres)
            throws Exception {
        Duration lease = Duration.ofSeconds(10);
        Duration look = Duration.ofMillis(500);
        try (EmbeddedKafka kafka = EmbeddedKafka.builder()
                        .property(
                                "transaction.abort.timed.out.transaction.cleanup.interval.ms",
                                String.valueOf(look.toMillis()))
                        .start();
                Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(event("user-1", 1)));
            try (RelayProcess victim = RelayProcess.start(
                    scene,
                    lease,
                    "-D%s=%s".formatted(CrashPoint.PROPERTY, "AFTER_ACK:1"),
                    "-D%s=%s".formatted(RelayMain.SEND_MODE, SendMode.STRICT))) {
                victim.awaitEnd();
            }
            assertThat(end(scene, IsolationLevel.READ_UNCOMMITTED)).isEqualTo(1);
            assertThat(end(scene, IsolationLevel.READ_COMMITTED))
                    .as("its transaction is open")
                    .isZero();
            scene.sendRaw("asset.events", "user-2", "{}");
            Eventually.holds( // Kafka's own limit of a transaction would be 60 s
                    lease.plusSeconds(10), () -> end(scene, IsolationLevel.READ_COMMITTED) == 3, () -> "still open");

            try (Running successor = Running.start(scene)) {
                Eventually.holds(() -> scene.count(PENDING) == 0, successor.relay()::health);
            }
            awaitSeen(scene, 2);
            assertThat(scene.records("asset.events")).hasSize(2);
        }
    }

    @Test
    void a_successor_goes_on_and_nobody_sees_what_a_killed_relay_left_open(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        Duration lease = Duration.ofSeconds(2);
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            for (int n = 1; n <= 50; n++) {
                int next = n;
                scene.inTransaction(tx -> scene.outbox().within(tx).publish(event("user-1", next)));
            }
            try (RelayProcess victim = RelayProcess.start(
                    scene,
                    lease,
                    "-D%s=%s".formatted(CrashPoint.PROPERTY, "AFTER_ACK:20"),
                    "-D%s=%s".formatted(RelayMain.SEND_MODE, SendMode.STRICT))) {
                victim.awaitEnd();
            }
            try (Running successor = Running.start(scene)) {
                Eventually.holds(() -> scene.count(PENDING) == 0, successor.relay()::health);
            }
            awaitSeen(scene, 50);
            List<String> ids = ids(scene.records("asset.events"));
            assertThat(ids).as("nobody sees what was not committed").hasSize(50).doesNotHaveDuplicates();
            assertThat(SerialisedWriters.reordered(ids)).isEmpty();
        }
    }

    /**
     * Here the cluster looks for what was left open once an hour, so that it is the other relay who ends it, and does so as soon as the
     * dead one's lease has run out.
     */
    @Test
    void readers_go_on_within_the_lease_and_a_second_if_a_relay_is_killed_beside_another(PostgresServer postgres)
            throws Exception {
        Duration lease = Duration.ofSeconds(4);
        Duration slack = Duration.ofSeconds(6); // for a machine on which other tests run too
        try (EmbeddedKafka kafka = EmbeddedKafka.builder()
                        .property("transaction.abort.timed.out.transaction.cleanup.interval.ms", "3600000")
                        .start();
                Scene scene = Scene.create(kafka, postgres, "asset.events:1");
                RelayProcess victim = RelayProcess.start(
                        scene,
                        lease,
                        "-D%s=%s".formatted(CrashPoint.PROPERTY, "AFTER_ACK:1"),
                        "-D%s=%s".formatted(RelayMain.SEND_MODE, SendMode.STRICT));
                RelayProcess other =
                        RelayProcess.start(scene, lease, "-D%s=%s".formatted(RelayMain.SEND_MODE, SendMode.STRICT))) {
            Eventually.holds(
                    () -> victim.owned().size() == Shards.COUNT / 2
                            && other.owned().size() == Shards.COUNT / 2,
                    () -> victim + " " + other);
            int published = 0;
            while (victim.isAlive()) { // should its shards be the other's again by now, the next event may be its own
                assertThat(published).as("all sent by %s", other).isLessThan(20);
                String user = userOf(victim);
                Event<?> next = event(user, ++published);
                scene.inTransaction(tx -> scene.outbox().within(tx).publish(next));
                Eventually.holds(
                        () -> !victim.isAlive() || scene.count(PENDING) == 0,
                        () -> "not sent: " + victim + " " + other);
            }
            long died = System.nanoTime();
            scene.sendRaw("asset.events", "somebody-else", "{}");
            long end = end(scene, IsolationLevel.READ_UNCOMMITTED);
            Eventually.holds(() -> end(scene, IsolationLevel.READ_COMMITTED) >= end, () -> "still open; " + other);
            assertThat(Duration.ofNanos(System.nanoTime() - died))
                    .isLessThan(lease.plusSeconds(1).plus(slack));

            Eventually.holds(() -> scene.count(PENDING) == 0, () -> other);
            awaitSeen(scene, published + 1);
            assertThat(scene.records("asset.events")).hasSize(published + 1);
            assertThat(end(scene, IsolationLevel.READ_UNCOMMITTED))
                    .as(
                            "a transaction was open: the event and its undoing, what was sent beside it, each event and its end")
                    .isGreaterThanOrEqualTo(2 + 1 + 2 * published);
        }
    }

    private static String userOf(RelayProcess relay) {
        return IntStream.range(0, 1_000)
                .mapToObj(i -> "user-" + i)
                .filter(user -> relay.owned().contains(Shards.of(user)))
                .findFirst()
                .orElse("user-0");
    }

    /** A transaction's rows are deleted when its end is decided; its readers see that a moment later. */
    private static void awaitSeen(Scene scene, long events) {
        Eventually.holds(() -> scene.records("asset.events").size() >= events, () -> events + " are not seen");
    }

    private static long end(Scene scene, IsolationLevel isolation) throws Exception {
        TopicPartition partition = new TopicPartition(scene.kafka().physicalTopic("asset.events"), 0);
        try (Admin admin = scene.kafka().admin()) {
            return admin.listOffsets(Map.of(partition, OffsetSpec.latest()), new ListOffsetsOptions(isolation))
                    .partitionResult(partition)
                    .get()
                    .offset();
        }
    }
}
