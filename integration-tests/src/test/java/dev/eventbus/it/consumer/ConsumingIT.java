package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static dev.eventbus.it.Events.HOUSING_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.eventbus.Codec;
import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.io.IOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import javax.sql.DataSource;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What docs/consuming.md shows, on real servers. */
@ExtendWith(ServersExtension.class)
class ConsumingIT {

    // region: foreign
    /** A row of a table as change data capture writes it: what it was, and what it is. */
    record UserChange(
            String op, @Nullable UserRow before, @Nullable UserRow after) {

        static UserChange deleted(String id) {
            return new UserChange("d", new UserRow(id, null), null);
        }

        @Nullable
        String userId() {
            return after != null ? after.id() : before != null ? before.id() : null;
        }
    }

    record UserRow(String id, @Nullable String name) {}

    static final EventType<UserChange> USER_CHANGED = EventType.of(
                    "USER_CHANGED", UserChange.class, Codec.reading(ConsumingIT::userChange))
            .topic("cdc.auth.users")
            .key(UserChange::userId)
            .tombstones(UserChange::deleted);
    // end: foreign

    private static final ObjectMapper JSON = new ObjectMapper();

    private static final EventType<String> NOTE = EventType.of(
                    "NOTE", String.class, Codec.of("text/plain", new StringSerializer(), new StringDeserializer()))
            .topic("notes")
            .key(note -> note.split(" ")[0]);

    private final List<String> handled = new CopyOnWriteArrayList<>();

    private static UserChange userChange(String topic, byte[] value) {
        try {
            return JSON.readValue(value, UserChange.class);
        } catch (IOException e) {
            throw new SerializationException("no change of a user", e);
        }
    }

    @Test
    void several_types_of_several_topics_are_handled_by_one_group(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "housing.events:3", "dlq.events:1")) {
            String group = scene.group("calculator");
            scene.start(several(scene.kafka(), group));
            scene.sendRaw("asset.events", "alice", json("ASSET_UPDATED", "alice", "a1"));
            scene.sendRaw("asset.events", "alice", json("ASSET_AUDITED", "alice", "a2"));
            scene.sendRaw("housing.events", "alice", json("HOUSING_UPDATED", "alice", "h1"));
            Eventually.holds(
                    () -> scene.committed(group, "asset.events") == 2 && scene.committed(group, "housing.events") == 1,
                    () -> handled);
            assertThat(handled).containsExactlyInAnyOrder("asset:alice", "housing:alice");
            assertThat(scene.records("dlq.events")).isEmpty();
        }
    }

    private ConsumerRunner several(KafkaCluster kafka, String group) {
        // region: several
        return ConsumerRunner.builder(kafka, group)
                .on(ASSET_UPDATED, (event, delivery) -> evict("asset:" + event.key()))
                .on(HOUSING_UPDATED, (event, delivery) -> evict("housing:" + event.key()))
                .ignoring("ASSET_AUDITED")
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
        // end: several
    }

    private void evict(String cached) {
        handled.add(cached);
    }

    @Test
    void events_that_share_a_transaction_have_their_effect_once(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1")) {
            scene.execute("CREATE TABLE ledger (event varchar(128), owner varchar(255), amount bigint)");
            for (String group : List.of(scene.group("one"), scene.group("list"))) {
                scene.execute("DELETE FROM ledger");
                ConsumerRunner runner = scene.start(
                        group.endsWith("one")
                                ? oneByOne(scene.kafka(), group, scene.database())
                                : inLists(scene.kafka(), group, scene.database()));
                for (int i = 0; i < 300; i++) {
                    scene.sendRaw("asset.events", "user-" + i % 7, json("ASSET_UPDATED", "user-" + i % 7, group + i));
                    scene.sendRaw("asset.events", "user-" + i % 7, json("ASSET_UPDATED", "user-" + i % 7, group + i));
                }
                scene.flush();
                long all = scene.endOffsets("asset.events");
                Eventually.holds(() -> scene.committed(group, "asset.events") == all, runner::health);
                assertThat(scene.strings("SELECT event FROM ledger GROUP BY event HAVING count(*) > 1"))
                        .isEmpty();
                assertThat(scene.count("SELECT count(*) FROM ledger")).isEqualTo(all / 2);
                assertThat(scene.records("dlq.events")).isEmpty();
                runner.close(); // or it would book the next group's events too
            }
        }
    }

    private static ConsumerRunner oneByOne(KafkaCluster kafka, String group, DataSource dataSource) {
        // region: batching
        JdbcInbox inbox = JdbcInbox.postgres(dataSource).batching(200);
        return ConsumerRunner.builder(kafka, group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> book(tx.connection(), event))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
        // end: batching
    }

    private static ConsumerRunner inLists(KafkaCluster kafka, String group, DataSource dataSource) {
        // region: lists
        JdbcInbox inbox = JdbcInbox.postgres(dataSource).batching(200);
        return ConsumerRunner.builder(kafka, group)
                .inTransactionBatch(inbox, ASSET_UPDATED, (events, tx) -> bookAll(tx.connection(), events))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
        // end: lists
    }

    private static void book(Connection tx, Event<AssetUpdated> event) throws SQLException {
        bookAll(tx, List.of(event));
    }

    private static void bookAll(Connection tx, List<Event<AssetUpdated>> events) throws SQLException {
        try (PreparedStatement insert =
                tx.prepareStatement("INSERT INTO ledger (event, owner) SELECT * FROM unnest(?, ?)")) {
            insert.setArray(
                    1, tx.createArrayOf("text", events.stream().map(Event::id).toArray()));
            insert.setArray(
                    2, tx.createArrayOf("text", events.stream().map(Event::key).toArray()));
            insert.executeUpdate();
        }
    }

    @Test
    void lists_without_an_inbox_are_for_effects_that_bear_repeating(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1")) {
            String group = scene.group("calculator");
            ConsumerRunner runner = scene.start(evicting(scene.kafka(), group));
            for (int i = 0; i < 100; i++) {
                scene.sendRaw("asset.events", "u" + i, json("ASSET_UPDATED", "u" + i, "e" + i));
            }
            Eventually.holds(() -> scene.committed(group, "asset.events") == 100, runner::health);
            assertThat(handled).hasSize(100).doesNotHaveDuplicates();
        }
    }

    private ConsumerRunner evicting(KafkaCluster kafka, String group) {
        // region: onBatch
        return ConsumerRunner.builder(kafka, group)
                .onBatch(
                        ASSET_UPDATED,
                        500,
                        (events, batch) -> evictAll(events.stream()
                                .map(event -> "asset:" + event.key())
                                .toList()))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
        // end: onBatch
    }

    private void evictAll(List<String> cached) {
        handled.addAll(cached);
    }

    @Test
    void records_of_change_data_capture_and_tombstones_on_a_compacted_topic_are_events(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1")) {
            Topics.of(
                            scene.kafka(),
                            TopicSpec.of("cdc.auth.users", 1)
                                    .replicationFactor(1)
                                    .minInsyncReplicas(1)
                                    .compactedAfter(Duration.ofDays(1)))
                    .provision();
            String group = scene.group("my");
            JdbcInbox inbox = scene.inbox();
            scene.start(ConsumerRunner.builder(scene.kafka(), group)
                    .inTransaction(
                            inbox,
                            USER_CHANGED,
                            (event, tx) -> handled.add(event.payload().op() + " " + event.key() + " " + event.id()))
                    .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> handled.add(event.id()))
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            scene.sendRaw("cdc.auth.users", "u1", """
                    {"op":"c","before":null,"after":{"id":"u1","name":"Ann"}}""");
            scene.sendRaw("cdc.auth.users", "u1", "no change at all");
            scene.sendRaw("cdc.auth.users", "u1", """
                    {"op":"d","before":{"id":"u1","name":"Ann"},"after":null}""");
            scene.sendRaw("cdc.auth.users", "u1", (byte[]) null);
            scene.sendRaw("asset.events", "alice", json("ASSET_UPDATED", "alice", "a1"));
            scene.sendRaw("asset.events", "alice", (byte[]) null);
            Eventually.holds(
                    () -> scene.committed(group, "cdc.auth.users") == 4 && scene.committed(group, "asset.events") == 2,
                    () -> handled);
            String place = scene.kafka().physicalTopic("cdc.auth.users") + "/0/";
            assertThat(handled)
                    .containsExactlyInAnyOrder("c u1 " + place + 0, "d u1 " + place + 2, "d u1 " + place + 3, "a1");
            assertThat(scene.records("dlq.events"))
                    .extracting(letter -> header(letter, "eventbus-dlq-reason"))
                    .containsExactlyInAnyOrder("BAD_VALUE", "EMPTY");
        }
    }

    @Test
    void a_type_with_a_codec_is_published_and_handled_like_any_other(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "notes:3", "dlq.events:1")) {
            List<Event<String>> notes = new CopyOnWriteArrayList<>();
            String group = scene.group("reader");
            scene.start(ConsumerRunner.builder(scene.kafka(), group)
                    .inTransaction(scene.inbox(), NOTE, (event, tx) -> notes.add(event))
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            scene.startRelay();
            scene.inTransaction(tx -> scene.outbox()
                    .within(tx)
                    .publish(Event.of(NOTE, "note-1", Instant.EPOCH, "alice says no")
                            .withHeader("tenant", "eu")));
            Eventually.holds(() -> scene.committed(group, "notes") == 1, () -> notes);
            assertThat(notes).singleElement().satisfies(note -> {
                assertThat(note.id()).isEqualTo("note-1");
                assertThat(note.key()).isEqualTo("alice");
                assertThat(note.payload()).isEqualTo("alice says no");
                assertThat(note.headers()).isEqualTo(Map.of("tenant", "eu"));
            });
            ConsumerRecord<byte[], byte[]> record = scene.records("notes").get(0);
            assertThat(new String(record.value(), UTF_8)).isEqualTo("alice says no");
            assertThat(header(record, "contentType")).isEqualTo("text/plain");
            assertThat(header(record, "eventType")).isEqualTo("NOTE");
        }
    }

    private static String header(ConsumerRecord<byte[], byte[]> record, String name) {
        return new String(record.headers().lastHeader(name).value(), UTF_8);
    }

    private static String json(String type, String user, String id) {
        return """
                {"eventId":"%s","eventType":"%s","timestamp":"2030-01-01T00:00:00Z","userId":"%s"}
                """.formatted(id, type, user);
    }
}
