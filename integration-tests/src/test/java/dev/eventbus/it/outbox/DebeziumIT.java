package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.zaxxer.hikari.HikariConfig;
import dev.eventbus.Codec;
import dev.eventbus.Event;
import dev.eventbus.EventHeaders;
import dev.eventbus.EventType;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.topics.KafkaCluster;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** The real connector with the real EventRouter, by the configuration that an outbox gives, in the rights that the docs grant. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class DebeziumIT {

    private static final Path DOCS = Path.of("../docs/debezium.md");
    private static final String NAME = "scan_outbox";
    private static final Instant AT = Instant.parse("2030-01-01T00:00:00Z");

    private static final EventType<byte[]> RAW = EventType.of(
                    "RAW_BYTES",
                    byte[].class,
                    Codec.of("application/x-raw", new ByteArraySerializer(), new ByteArrayDeserializer()))
            .topic("asset.events")
            .key(payload -> "key-" + payload.length);

    private static final EventType<byte[]> GONE = EventType.of(
                    "GONE",
                    byte[].class,
                    Codec.of("application/x-raw", (topic, gone) -> null, new ByteArrayDeserializer()))
            .topic("gone.events")
            .key(payload -> new String(payload, UTF_8))
            .tombstones(key -> key.getBytes(UTF_8));

    /** What became of a row, but for where and when. */
    record Sent(String topic, String key, @Nullable List<Byte> value, Map<String, String> headers) {

        static Sent of(String topic, byte[] key, byte @Nullable [] value, Headers headers) {
            Map<String, String> said = new TreeMap<>();
            headers.forEach(header -> {
                if (header.value() != null) { // the router writes what a row lacks as a header without a value
                    assertThat(said.put(header.key(), new String(header.value(), UTF_8)))
                            .isNull();
                }
            });
            List<Byte> bytes = value == null
                    ? null
                    : IntStream.range(0, value.length).mapToObj(i -> value[i]).toList();
            return new Sent(topic, new String(key, UTF_8), bytes, said);
        }
    }

    private final EmbeddedPostgres postgres =
            EmbeddedPostgres.builder().setting("wal_level", "logical").start();
    private final String url = postgres.createDatabase("scan");
    private final JdbcOutbox plain = JdbcOutbox.postgres().schema("scan").table("outbox");
    private final JdbcOutbox passing = plain.relayedByDebezium();
    private final List<ProducerRecord<byte[], byte[]>> routed = new CopyOnWriteArrayList<>();
    private final Scene scene;

    DebeziumIT(KafkaServer kafka) throws Exception {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(url);
        pool.setUsername(postgres.user());
        pool.setPassword(postgres.password());
        scene = Scene.create(kafka, pool, plain, "asset.events:3", "gone.events:1", "dlq.events:1");
        scene.execute("CREATE ROLE publisher LOGIN PASSWORD 'secret'");
        Matcher block = Pattern.compile("(?ms)^```sql\n(.*?)^```$").matcher(Files.readString(DOCS));
        assertThat(block.find()).isTrue();
        for (String statement : block.group(1).split(";\n")) {
            scene.execute(statement);
        }
    }

    @AfterEach
    void close() throws Exception {
        scene.close();
        postgres.close();
    }

    private DebeziumEngineRun connector() throws Exception {
        KafkaCluster kafka = scene.kafka();
        // region: publish
        JdbcOutbox outbox = JdbcOutbox.postgres().schema("scan").table("outbox").relayedByDebezium();
        // end: publish
        // region: connector
        String connector = outbox.debeziumConnector(kafka, "scan_outbox"); // as JSON
        // end: connector
        return new DebeziumEngineRun(
                connector, DebeziumEngineRun.environment(NAME, url, postgres, "debezium"), routed::add);
    }

    @Test
    void the_relay_and_the_event_router_make_the_same_record_of_a_row() throws Exception {
        List<Event<?>> events = rows();
        try (DebeziumEngineRun connector = connector()) {
            scene.inTransaction(tx -> plain.within(tx).publishAll(events));
            Eventually.holds(() -> routed.size() == events.size(), () -> routed + " " + connector.failures());
        }
        scene.startRelay();
        Eventually.holds(() -> scene.count("SELECT count(*) FROM scan.outbox") == 0, () -> "rows are left");

        Map<String, Sent> relays = new TreeMap<>();
        scene.records("asset.events", "gone.events").forEach(record -> {
            Sent sent = Sent.of(record.topic(), record.key(), record.value(), record.headers());
            relays.put(sent.headers().get("id"), sent);
        });
        Map<String, Sent> routers = new TreeMap<>();
        routed.forEach(record -> {
            Sent sent = Sent.of(record.topic(), record.key(), record.value(), record.headers());
            routers.put(sent.headers().get("id"), sent);
        });
        assertThat(relays).hasSize(events.size());
        assertThat(routers).containsExactlyEntriesOf(relays);
        assertThat(relays.values())
                .filteredOn(sent -> "traced".equals(sent.headers().get("id")))
                .singleElement()
                .satisfies(sent -> assertThat(sent.headers())
                        .containsOnlyKeys("id", "eventType", "contentType", "traceparent", "tracestate"));
        assertThat(routers.values())
                .filteredOn(sent -> sent.value() == null)
                .singleElement()
                .satisfies(sent -> assertThat(sent.headers()).containsEntry("id", "tombstone"));
    }

    /** One of each kind that a row can be. */
    private static List<Event<?>> rows() {
        byte[] every = new byte[256];
        IntStream.range(0, every.length).forEach(i -> every[i] = (byte) i);
        String longest = "é".repeat(127) + "x";
        return List.of(
                Event.of(ASSET_UPDATED, "plain", AT, AssetUpdated.amount("alice", 1)),
                Event.of(ASSET_UPDATED, "traced", AT, AssetUpdated.amount("alice", 2))
                        .withHeader(EventHeaders.TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
                        .withHeader(EventHeaders.TRACESTATE, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
                Event.of(
                        ASSET_UPDATED,
                        "한국어 \"1\"",
                        AT,
                        new AssetUpdated(
                                "사용자 1",
                                " {\"a\":1.0}",
                                "\u0001\\",
                                null,
                                "\ud83d\ude00",
                                null,
                                9_007_199_254_740_993L,
                                null)),
                Event.of(ASSET_UPDATED, "longest", AT, AssetUpdated.amount(longest, 3)),
                Event.of(RAW, "bytes", AT, every),
                Event.of(RAW, "json", AT, "[1.0, null]".getBytes(UTF_8)),
                Event.of(RAW, "blank", AT, "  ".getBytes(UTF_8)),
                Event.of(RAW, "empty", AT, new byte[0]),
                Event.of(GONE, "tombstone", AT, "alice".getBytes(UTF_8)));
    }

    @Test
    void what_is_inserted_and_deleted_in_one_transaction_is_handled_once_and_in_order() throws Exception {
        int count = 1_201;
        List<String> handled = new CopyOnWriteArrayList<>();
        scene.start(ConsumerRunner.builder(scene.kafka(), scene.group("calculator"))
                .on(ASSET_UPDATED, (event, delivery) -> handled.add(event.id()))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build());
        try (DebeziumEngineRun connector = connector();
                Connection publisher = DriverManager.getConnection(url, "publisher", "secret")) {
            publisher.setAutoCommit(false);
            passing.within(publisher).publish(Event.of(ASSET_UPDATED, "undone", AT, AssetUpdated.amount("bob", 1)));
            publisher.rollback();
            passing.within(publisher).publish(Event.of(ASSET_UPDATED, "1", AT, AssetUpdated.amount("bob", 1)));
            Savepoint savepoint = publisher.setSavepoint();
            passing.within(publisher).publish(Event.of(ASSET_UPDATED, "undone too", AT, AssetUpdated.amount("bob", 1)));
            publisher.rollback(savepoint);
            passing.within(publisher).publish(Event.of(ASSET_UPDATED, "2", AT, AssetUpdated.amount("bob", 1)));
            publisher.commit();
            List<Event<AssetUpdated>> many = new ArrayList<>();
            for (int i = 3; i <= count; i++) {
                many.add(Event.of(ASSET_UPDATED, Integer.toString(i), AT, AssetUpdated.amount("bob", i)));
            }
            passing.within(publisher).publishAll(many);
            publisher.commit();
            assertThat(scene.count("SELECT count(*) FROM scan.outbox")).isZero();

            Eventually.holds(() -> routed.size() == count, () -> routed.size() + " " + connector.failures());
        }
        routed.forEach(scene::send);
        scene.flush();
        Eventually.holds(() -> handled.size() >= count, handled::size);
        assertThat(handled)
                .isEqualTo(IntStream.rangeClosed(1, count)
                        .mapToObj(Integer::toString)
                        .toList());
        assertThat(scene.records("dlq.events")).isEmpty();
    }

    @Test
    void a_publishing_session_keeps_its_settings_and_finds_the_rows_that_it_deletes_by_the_index() throws Exception {
        int count = 40;
        scene.execute("VACUUM scan.outbox"); // of no row and no page, so that a plan costs nothing whatever it reads
        try (Connection publisher = DriverManager.getConnection(url, "publisher", "secret")) {
            publisher.setAutoCommit(false);
            for (int i = 0; i < count; i++) {
                passing.within(publisher).publish(ASSET_UPDATED, AssetUpdated.amount("bob", i));
                assertThat(settings(publisher)).containsExactly("on", "on");
                publisher.commit();
            }
            assertThat(settings(publisher)).containsExactly("on", "on");
        }
        Eventually.holds(() -> counted("idx_scan") >= count, () -> counted("idx_scan"));
        assertThat(counted("seq_tup_read")).isZero();
    }

    @Test
    void a_session_that_commits_asynchronously_is_refused_and_leaves_nothing_here_too() throws Exception {
        try (Connection publisher = DriverManager.getConnection(url, "publisher", "secret")) {
            publisher.setAutoCommit(false);
            try (PreparedStatement off = publisher.prepareStatement("SET LOCAL synchronous_commit = off")) {
                off.execute();
            }
            assertThatThrownBy(() -> passing.within(publisher).publish(ASSET_UPDATED, AssetUpdated.amount("bob", 1)))
                    .hasMessageContaining("EB-2021");
            publisher.commit();
        }
        assertThat(scene.count("SELECT count(*) FROM scan.outbox_seq_seq WHERE is_called"))
                .as("no row was ever there")
                .isZero();
    }

    private static List<String> settings(Connection session) throws SQLException {
        List<String> values = new ArrayList<>();
        try (PreparedStatement query = session.prepareStatement(
                        "SELECT current_setting('enable_seqscan'), current_setting('synchronous_commit')");
                ResultSet row = query.executeQuery()) {
            row.next();
            values.add(row.getString(1));
            values.add(row.getString(2));
        }
        return values;
    }

    private long counted(String what) {
        try {
            return scene.count(
                    "SELECT coalesce(sum(%s), 0) FROM pg_stat_user_tables WHERE relid = 'scan.outbox'::regclass"
                            .formatted(what));
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void an_outbox_that_no_slot_and_no_publication_reads_does_not_pass_its_check() throws Exception {
        try (Connection connection = scene.database().getConnection()) {
            assertThatThrownBy(() -> passing.verify(connection))
                    .hasMessageContaining("EB-2004")
                    .hasMessageContaining("replication slot")
                    .hasMessageNotContaining("publication");
            try (DebeziumEngineRun connector = connector()) {
                passing.verify(connection);
                assertThat(connector.failures()).isEmpty();
            }
            scene.execute("DROP PUBLICATION scan_outbox");
            assertThatThrownBy(() -> passing.verify(connection)).hasMessageContaining("publication");
        }
    }

    /** What commits while a slot is being made is never read. */
    @Test
    void nor_does_one_whose_slot_still_waits_for_an_open_writer() throws Exception {
        try (Connection connection = scene.database().getConnection();
                Connection writer = scene.database().getConnection();
                Statement write = writer.createStatement()) {
            writer.setAutoCommit(false);
            write.execute("SELECT pg_current_xact_id()");
            CompletableFuture<Void> made = CompletableFuture.runAsync(() -> makeSlot("waits_for_a_writer"));
            Eventually.holds(
                    () -> scene.count("SELECT count(*) FROM pg_replication_slots WHERE plugin = 'pgoutput'") == 1,
                    made::toString);
            assertThatThrownBy(() -> passing.verify(connection)).hasMessageContaining("that is ready");
            writer.commit();
            made.get(20, TimeUnit.SECONDS);
            passing.verify(connection);
        } finally {
            scene.execute("SELECT pg_drop_replication_slot('waits_for_a_writer')");
        }
    }

    private void makeSlot(String name) {
        try {
            scene.execute("SELECT pg_create_logical_replication_slot('%s', 'pgoutput')".formatted(name));
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }
}
