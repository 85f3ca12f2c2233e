package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static dev.eventbus.it.Events.HOUSING_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.crash.Decorator;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Events.HousingUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.sql.DataSource;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.errors.TimeoutException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.postgresql.ds.PGSimpleDataSource;

/** Order, loss and recovery of the relay on real servers. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class OutboxRelayIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";

    private static Event<AssetUpdated> asset(String id, String user) {
        return Event.of(ASSET_UPDATED, id, Instant.EPOCH, AssetUpdated.amount(user, 1));
    }

    @Test
    void an_event_that_commits_long_after_others_is_found_without_the_full_read(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                Connection late = scene.database().getConnection()) {
            scene.startRelay();
            late.setAutoCommit(false);
            scene.outbox().within(late).publish(asset("late", "bob"));
            for (int batch = 0; batch < 20; batch++) {
                int first = batch * 100;
                scene.inTransaction(tx -> {
                    List<Event<?>> events = new ArrayList<>();
                    for (int i = first; i < first + 100; i++) {
                        events.add(asset("evt-" + i, "user-" + i));
                    }
                    scene.outbox().within(tx).publishAll(events);
                });
                Eventually.holds(() -> scene.count(PENDING) == 0, () -> "rows left");
            }
            late.commit();
            long committed = System.nanoTime();
            Eventually.holds(() -> scene.count(PENDING) == 0, () -> "the late row is left");
            assertThat(Duration.ofNanos(System.nanoTime() - committed))
                    .as("not found by the full read of every 30 s")
                    .isLessThan(Duration.ofSeconds(15));
            assertThat(scene.records("asset.events"))
                    .hasSize(2_001)
                    .extracting(SerialisedWriters::id)
                    .contains("late");
        }
    }

    @Test
    void a_missing_topic_is_named_and_waits_while_others_flow(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "housing.events:1")) {
            OutboxRelay relay = scene.startRelay();
            scene.inTransaction(tx -> {
                scene.outbox().within(tx).publish(asset("evt-1", "bob"));
                scene.outbox().within(tx).publish(HOUSING_UPDATED, new HousingUpdated("bob", "h-1", "PRICE_CHANGED"));
            });
            Eventually.holds(() -> scene.records("housing.events").size() == 1, relay::health);
            String topic = scene.kafka().physicalTopic("asset.events");
            Eventually.holds(
                    Duration.ofSeconds(15),
                    () -> relay.health().problems().stream()
                            .anyMatch(problem -> problem.contains(topic)
                                    && problem.contains("does not have the topic")
                                    && problem.contains("wait in the outbox")),
                    relay::health);
            Eventually.holds(() -> scene.count(PENDING) == 1, relay::health);

            Topics.of(
                            scene.kafka(),
                            TopicSpec.of("asset.events", 3).replicationFactor(1).minInsyncReplicas(1))
                    .provision();
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            Eventually.holds(() -> relay.health().up(), relay::health);
        }
    }

    /** As brokers do by default. A producer that asks for a topic always lets them. */
    @Test
    void a_missing_topic_is_not_made_by_asking_for_it_where_brokers_make_topics(PostgresServer postgres)
            throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.builder()
                        .property("auto.create.topics.enable", "true")
                        .start();
                Scene scene = Scene.create(kafka, postgres, "housing.events:1")) {
            OutboxRelay relay = scene.startRelay();
            scene.inTransaction(tx -> {
                scene.outbox().within(tx).publish(asset("evt-1", "bob"));
                scene.outbox().within(tx).publish(HOUSING_UPDATED, new HousingUpdated("bob", "h-1", "PRICE_CHANGED"));
            });
            String topic = scene.kafka().physicalTopic("asset.events");
            Eventually.holds(
                    () -> relay.health().problems().stream()
                            .anyMatch(
                                    problem -> problem.contains(topic) && problem.contains("does not have the topic")),
                    relay::health);
            Eventually.holds(() -> scene.count(PENDING) == 1, relay::health);
            try (Admin admin = scene.kafka().admin()) {
                assertThat(admin.listTopics().names().get()).doesNotContain(topic);
            }

            Topics.of(
                            scene.kafka(),
                            TopicSpec.of("asset.events", 3).replicationFactor(1).minInsyncReplicas(1))
                    .provision();
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            assertThat(scene.strings("SELECT value FROM eventbus_meta WHERE name LIKE 'partitions.%.asset.events'"))
                    .containsExactly("3");
        }
    }

    @Test
    void of_a_missing_topic_it_is_said_which_one_may_be_meant(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.evnts:1")) {
            OutboxRelay relay = scene.startRelay();
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(asset("evt-1", "bob")));
            String similar = scene.kafka().physicalTopic("asset.evnts");
            Eventually.holds(
                    () -> relay.health().problems().stream()
                            .anyMatch(problem ->
                                    problem.contains("but it has '%s', which may be meant".formatted(similar))),
                    relay::health);
        }
    }

    private static void assertSaysWhoIsAway(OutboxRelay relay, String address) throws Exception {
        Eventually.holds(
                Duration.ofSeconds(15),
                () -> relay.health().problems().stream()
                        .anyMatch(problem -> problem.contains(address)
                                && problem.contains("kafka-events")
                                && problem.contains("wait in the outbox")),
                relay::health);
        assertThat(relay.health().up()).isFalse();
    }

    @Test
    void a_closed_port_of_kafka_is_said_within_seconds_and_the_rows_wait(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(asset("evt-1", "bob")));
            String address = "127.0.0.1:" + closedPort();
            try (OutboxRelay relay = OutboxRelay.builder(
                            scene.outbox(),
                            scene.database(),
                            KafkaCluster.at(address).named("kafka-events"))
                    .build()) {
                relay.start();
                assertSaysWhoIsAway(relay, address);
            }
            assertThat(scene.count(PENDING)).isEqualTo(1);
        }
    }

    @Test
    void a_closed_port_of_kafka_is_said_by_a_relay_that_has_nothing_to_send_too(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            String address = "127.0.0.1:" + closedPort();
            try (OutboxRelay relay = OutboxRelay.builder(
                            scene.outbox(),
                            scene.database(),
                            KafkaCluster.at(address).named("kafka-events"))
                    .build()) {
                relay.start();
                assertSaysWhoIsAway(relay, address);
            }
        }
    }

    @Test
    void a_relay_that_has_nothing_to_send_is_up_again_once_kafka_is_back(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            AtomicBoolean away = new AtomicBoolean(true);
            KafkaCluster cluster = Decorator.of(KafkaCluster.class, (method, arguments) -> {
                if (method.getName().equals("admin") && away.get()) {
                    throw new TimeoutException("on purpose");
                }
                return method.invoke(scene.kafka(), arguments);
            });
            try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), cluster)
                    .build()) {
                relay.start();
                Eventually.holds(
                        Duration.ofSeconds(15),
                        () -> !relay.health().up()
                                && relay.health().problems().stream()
                                        .anyMatch(problem -> problem.contains("does not answer")),
                        relay::health);
                away.set(false);
                Eventually.holds(
                        Duration.ofSeconds(15),
                        () -> relay.health().up() && relay.health().problems().isEmpty(),
                        relay::health);
            }
        }
    }

    @Test
    void a_wrong_password_of_the_database_is_said_and_survived(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            String role = postgres.uniqueName("relay");
            scene.execute("CREATE ROLE %s LOGIN SUPERUSER PASSWORD 'right'".formatted(role));
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(asset("evt-1", "bob")));
            PGSimpleDataSource database = new PGSimpleDataSource();
            database.setUrl(scene.database().getJdbcUrl());
            database.setUser(role);
            database.setPassword("wrong");
            try (OutboxRelay relay =
                    OutboxRelay.builder(scene.outbox(), database, scene.kafka()).build()) {
                relay.start();
                Eventually.holds(
                        Duration.ofSeconds(15),
                        () -> relay.health().problems().stream()
                                .anyMatch(problem ->
                                        problem.contains("28P01") && problem.contains("Correct user and password")),
                        relay::health);
                assertThat(relay.health().problems()).noneMatch(problem -> problem.contains("wrong"));
                database.setPassword("right");
                Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            }
        }
    }

    @Test
    void a_connection_that_dies_is_replaced_and_nothing_is_lost(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            OutboxRelay relay = scene.startRelay();
            for (int round = 0; round < 10; round++) {
                int first = round * 50;
                scene.inTransaction(tx -> {
                    for (int i = first; i < first + 50; i++) {
                        scene.outbox().within(tx).publish(asset("user-1:" + (i + 1), "user-1"));
                    }
                });
                scene.count(
                        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%eventbus%'");
            }
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            List<ConsumerRecord<byte[], byte[]>> records = scene.records("asset.events");
            assertThat(records.stream().map(SerialisedWriters::id).distinct()).hasSize(500);
            assertThat(SerialisedWriters.reorderedRecords(records)).isEmpty();
        }
    }

    @Test
    void a_broker_that_is_killed_and_started_again_gets_everything_in_order(PostgresServer postgres) throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            OutboxRelay relay = scene.startRelay();
            int published = 0;
            for (int round = 0; round < 40; round++) {
                int first = published;
                scene.inTransaction(tx -> {
                    for (int i = first; i < first + 50; i++) {
                        String user = "user-" + i % 10;
                        scene.outbox().within(tx).publish(asset(user + ":" + (i / 10 + 1), user));
                    }
                });
                published += 50;
                if (round == 10) {
                    kafka.kill(1);
                }
            }
            assertThat(scene.count(PENDING)).isPositive();
            kafka.start(1);
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            List<ConsumerRecord<byte[], byte[]>> records = scene.records("asset.events");
            assertThat(records.stream().map(SerialisedWriters::id).distinct()).hasSize(published);
            assertThat(SerialisedWriters.reorderedRecords(records)).isEmpty();
            Eventually.holds(() -> relay.health().up(), relay::health);
        }
    }

    @Test
    void a_connection_goes_back_to_its_pool_as_it_came(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                HikariDataSource pool = new HikariDataSource()) {
            pool.setJdbcUrl(scene.database().getJdbcUrl());
            pool.setUsername(postgres.user());
            pool.setPassword(postgres.password());
            pool.setMaximumPoolSize(1);
            pool.setConnectionInitSql("SET plan_cache_mode = force_generic_plan");
            String query =
                    "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) || ' ' || pg_backend_pid() FROM pg_settings WHERE name IN ('plan_cache_mode', 'jit', 'enable_seqscan', 'enable_hashjoin', 'synchronous_commit')";
            String before = string(pool, query);
            try (OutboxRelay relay =
                    OutboxRelay.builder(scene.outbox(), pool, scene.kafka()).build()) {
                scene.inTransaction(tx -> scene.outbox().within(tx).publish(asset("evt-1", "bob")));
                assertThat(relay.runOnce()).isEqualTo(1);
            }
            assertThat(string(pool, query)).isEqualTo(before).contains("plan_cache_mode=force_generic_plan");
        }
    }

    private static String string(DataSource database, String query) throws SQLException {
        try (Connection connection = database.getConnection();
                PreparedStatement statement = connection.prepareStatement(query);
                ResultSet row = statement.executeQuery()) {
            row.next();
            return row.getString(1);
        }
    }

    @Test
    void one_event_of_each_type_by_a_pass_of_ones_own(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "housing.events:3");
                OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                        .build()) {
            List<EventType<?>> types = List.of(ASSET_UPDATED, HOUSING_UPDATED);
            scene.inTransaction(tx -> {
                scene.outbox().within(tx).publish(asset("evt-1", "bob"));
                scene.outbox().within(tx).publish(HOUSING_UPDATED, new HousingUpdated("bob", "h-1", "PRICE_CHANGED"));
            });
            assertThat(relay.runOnce())
                    .as("the first pass waits for the topics' metadata")
                    .isEqualTo(types.size());
        }
    }

    @Test
    void a_pass_of_ones_own_relays_all_that_was_published_however_much_larger_one_event_is_than_those_before(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                        .build()) {
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(asset("small", "bob")));
            assertThat(relay.runOnce()).isEqualTo(1);
            scene.inTransaction(tx -> {
                for (int i = 0; i < 20; i++) {
                    scene.outbox().within(tx).publish(asset("small-" + i, "user-" + i));
                    scene.outbox().within(tx).publish(asset("large-" + i, "user-" + i));
                }
            });
            scene.execute(
                    "UPDATE eventbus_outbox SET headers = json_build_object('x', repeat('y', 6000)) WHERE id LIKE 'large-%'");
            assertThat(relay.runOnce()).isEqualTo(40);
            assertThat(scene.count("SELECT count(*) FROM eventbus_outbox")).isZero();
        }
    }

    private static int closedPort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }
}
