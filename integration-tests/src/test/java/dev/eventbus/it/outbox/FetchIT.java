package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.sql.FetchWindow;
import dev.eventbus.outbox.sql.FetchWindow.Floor;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.PostgresOutboxSql;
import dev.eventbus.outbox.sql.Shards;
import dev.eventbus.outbox.sql.TableNames;
import java.sql.Connection;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What the relay reads, and in which order, while others write, read and hold their transactions open. */
@ExtendWith(ServersExtension.class)
class FetchIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";

    @Test
    void writers_that_serialise_on_a_contended_key_are_never_reordered(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            SerialisedWriters writers = SerialisedWriters.on(scene.database(), scene.outbox());
            OutboxRelay relay = scene.startRelay();
            assertEachOnceInOrder(scene, relay, writers.write());
        }
    }

    @Test
    void a_reader_that_holds_its_snapshot_reorders_and_loses_nothing(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                Connection reader = scene.database().getConnection()) {
            SerialisedWriters writers = SerialisedWriters.on(scene.database(), scene.outbox());
            OutboxRelay relay = scene.startRelay();
            reader.setAutoCommit(false);
            reader.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            execute(reader, PENDING);
            assertEachOnceInOrder(scene, relay, writers.write());
            reader.rollback();
        }
    }

    @Test
    void a_writer_that_commits_after_all_others_is_found_and_nobody_waits_for_it(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                Connection held = scene.database().getConnection()) {
            SerialisedWriters writers = SerialisedWriters.on(scene.database(), scene.outbox());
            OutboxRelay relay = scene.startRelay();
            held.setAutoCommit(false);
            scene.outbox().within(held).publish(SerialisedWriters.event("held", 1));
            long committed = writers.write();
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            scene.outbox().within(held).publish(SerialisedWriters.event("held", 2));
            held.commit();
            assertEachOnceInOrder(scene, relay, committed + 2);
        }
    }

    /** Most pages are of small rows only, which the database does not add up. */
    @Test
    void large_events_among_small_ones_are_relayed_whole_once_and_in_order(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            int events = 10_000;
            scene.inTransaction(tx -> {
                for (int i = 0; i < events; i++) {
                    scene.outbox().within(tx).publish(SerialisedWriters.event("user-" + i % 100, i / 100 + 1));
                }
            });
            scene.execute(
                    "UPDATE eventbus_outbox SET headers = '{\"note\":\"' || repeat('x', 100000) || '\"}' WHERE seq % 999 = 0");
            long large = scene.count("SELECT count(*) FROM eventbus_outbox WHERE octet_length(headers) > 100000");
            assertEachOnceInOrder(scene, scene.startRelay(), events);
            List<ConsumerRecord<byte[], byte[]>> records = scene.records("asset.events");
            assertThat(records).allMatch(record -> record.value() != null);
            assertThat(records.stream().filter(record -> record.headers().lastHeader("note") != null))
                    .hasSize((int) large)
                    .allMatch(record -> record.headers().lastHeader("note").value().length == 100_000);
            assertThat(large).isEqualTo(events / 999);
        }
    }

    /** Numbers begin again, as after a restore, while the relay believes that it has seen them all. */
    @Test
    void sequence_numbers_that_are_given_out_again_are_read_at_once(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            OutboxRelay relay = scene.startRelay();
            long n = 0;
            for (int life = 0; life < 3; life++) {
                for (int batch = 0; batch < 30; batch++) {
                    long first = n;
                    scene.inTransaction(tx -> {
                        for (long i = first + 1; i <= first + 20; i++) {
                            scene.outbox().within(tx).publish(SerialisedWriters.event("bob", i));
                        }
                    });
                    n += 20;
                }
                long published = System.nanoTime();
                Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
                assertThat(System.nanoTime() - published)
                        .as("not found by the full read of every 30 s")
                        .isLessThan(15_000_000_000L);
                scene.execute("ALTER TABLE eventbus_outbox ALTER COLUMN seq RESTART");
            }
            assertEachOnceInOrder(scene, relay, n);
        }
    }

    /** The checker can see: the same writers, read above the last number seen with a look at everything in between. */
    @Test
    void reading_above_the_last_number_seen_does_reorder(PostgresServer postgres, KafkaServer kafka) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            SerialisedWriters writers = SerialisedWriters.on(scene.database(), scene.outbox());
            assertThat(SerialisedWriters.reordered(readWhileWriting(scene, writers, true)))
                    .isNotEmpty();
        }
    }

    @Test
    void reading_all_that_is_there_in_one_snapshot_does_not(PostgresServer postgres, KafkaServer kafka)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            SerialisedWriters writers = SerialisedWriters.on(scene.database(), scene.outbox());
            assertThat(SerialisedWriters.reordered(readWhileWriting(scene, writers, false)))
                    .isEmpty();
        }
    }

    /** A relay without Kafka, in its simplest forms: with a cursor, and every tenth time without; or never with one. */
    private static List<String> readWhileWriting(Scene scene, SerialisedWriters writers, boolean cursor)
            throws Exception {
        ExecutorService thread = Executors.newSingleThreadExecutor();
        AtomicBoolean done = new AtomicBoolean();
        Future<List<String>> ids = thread.submit(() -> {
            OutboxStore store = new OutboxStore(new PostgresOutboxSql(TableNames.defaults()));
            List<String> read = new ArrayList<>();
            Map<Integer, Long> last = new HashMap<>();
            try (Connection relay = scene.database().getConnection()) {
                for (int look = 0; ; look++) {
                    boolean end = done.get();
                    boolean above = cursor && look % 10 != 0;
                    List<Floor> floors = new ArrayList<>();
                    for (int shard = 0; shard < Shards.COUNT; shard++) {
                        floors.add(new Floor(shard, above ? last.getOrDefault(shard, 0L) : 0));
                    }
                    List<OutboxRow> rows = store.fetch(
                                    relay, new FetchWindow(floors, List.of(), List.of(), 500, 2_000, 1 << 20))
                            .rows();
                    for (OutboxRow row : rows) {
                        read.add(row.event().id());
                        last.merge(row.key().shard(), row.key().seq(), Math::max);
                    }
                    if (!rows.isEmpty()) {
                        store.delete(relay, rows);
                    } else if (end && !above) {
                        return read;
                    }
                }
            }
        });
        try {
            writers.write();
            done.set(true);
            return ids.get();
        } finally {
            done.set(true);
            thread.shutdown();
        }
    }

    static void assertEachOnceInOrder(Scene scene, OutboxRelay relay, long committed) throws Exception {
        assertEachOnceInOrder(scene, relay, PENDING, committed);
    }

    /** @param pending counts the events in the outbox, in the words of its database */
    static void assertEachOnceInOrder(Scene scene, OutboxRelay relay, String pending, long committed) throws Exception {
        Eventually.holds(() -> scene.count(pending) == 0, relay::health);
        List<ConsumerRecord<byte[], byte[]>> records = scene.records("asset.events");
        assertThat(SerialisedWriters.reorderedRecords(records)).isEmpty();
        Set<String> ids =
                new HashSet<>(records.stream().map(SerialisedWriters::id).toList());
        assertThat(ids).hasSize((int) committed);
        assertThat(records).as("none twice").hasSize((int) committed);
        assertThat(committed).isGreaterThan(100);
    }

    private static void execute(Connection connection, String sql) throws Exception {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }
}
