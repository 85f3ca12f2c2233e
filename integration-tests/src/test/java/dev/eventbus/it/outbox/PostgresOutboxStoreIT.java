package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.PublishRefusedException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.sql.FetchWindow;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxSql;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.PostgresOutboxSql;
import dev.eventbus.outbox.sql.RowKey;
import dev.eventbus.outbox.sql.Shards;
import dev.eventbus.outbox.sql.TableNames;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@ExtendWith(ServersExtension.class)
class PostgresOutboxStoreIT extends OutboxStoreContract {

    private final PostgresServer postgres;
    private final String url;

    PostgresOutboxStoreIT(PostgresServer postgres) {
        this.postgres = postgres;
        this.url = postgres.createDatabase(postgres.uniqueName("store"));
    }

    @Override
    Connection connect() throws SQLException {
        return DriverManager.getConnection(url, postgres.user(), postgres.password());
    }

    @Override
    JdbcOutbox outbox() {
        return JdbcOutbox.postgres();
    }

    @Override
    OutboxSql sql() {
        return new PostgresOutboxSql(TableNames.defaults());
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    @Test
    void a_session_that_commits_asynchronously_is_refused() throws SQLException {
        try (Connection tx = connect()) {
            tx.setAutoCommit(false);
            execute(tx, "SET LOCAL synchronous_commit = off");
            assertThatThrownBy(() -> outbox().within(tx).publish(event("evt-1", "bob")))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("synchronous_commit");
            assertThatThrownBy(
                            () -> outbox().within(tx).publishAll(List.of(event("evt-1", "bob"), event("evt-2", "bob"))))
                    .isInstanceOf(PublishRefusedException.class);
            execute(tx, "SET LOCAL synchronous_commit = local");
            outbox().within(tx).publish(event("evt-3", "bob"));
            tx.commit();
        }
        assertThat(count("SELECT count(*) FROM eventbus_outbox")).isEqualTo(1);
    }

    @Test
    void a_trigger_that_keeps_a_row_out_is_told_as_one_of_two_causes_and_no_event_counts_as_published()
            throws SQLException {
        try (Connection tx = connect()) {
            execute(tx, """
                    CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
                    CREATE TRIGGER keep_out BEFORE INSERT ON eventbus_outbox FOR EACH ROW EXECUTE FUNCTION keep_out()""");
            tx.setAutoCommit(false);
            assertThatThrownBy(() -> outbox().within(tx).publish(event("evt-1", "bob")))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("synchronous_commit = off")
                    .hasMessageContaining("a trigger or rule of the table keeps rows out");
            tx.commit();
        }
        assertThat(count("SELECT count(*) FROM eventbus_outbox")).isZero();
    }

    @Test
    void a_transaction_has_its_id_before_its_row_has_a_number() throws SQLException {
        try (Connection tx = connect()) {
            execute(tx, """
                    CREATE FUNCTION number_without_id() RETURNS bigint LANGUAGE plpgsql AS $$
                    BEGIN
                      IF pg_current_xact_id_if_assigned() IS NULL THEN RAISE 'a number before the id'; END IF;
                      RETURN nextval('eventbus_outbox_seq_seq');
                    END $$;
                    ALTER TABLE eventbus_outbox ALTER seq DROP IDENTITY;
                    CREATE SEQUENCE eventbus_outbox_seq_seq;
                    ALTER TABLE eventbus_outbox ALTER seq SET DEFAULT number_without_id();
                    """);
            tx.setAutoCommit(false);
            outbox().within(tx).publish(event("evt-1", "bob"));
            tx.commit();
        }
        assertThat(count("SELECT count(*) FROM eventbus_outbox")).isEqualTo(1);
    }

    private static final String GENERATED = """
            (shard, id, aggregatetype, aggregateid, type, content_type, created_at)
            SELECT i %% 16, 'evt-' || i, 'asset.events', 'user-' || i %% 10000, 'ASSET_UPDATED', 'application/json', now()
            FROM generate_series(%d, %d) i
            """;

    @Test
    void a_fetch_tells_head_and_oldest_transaction_even_without_a_row() throws SQLException {
        OutboxStore store = new OutboxStore(sql());
        FetchWindow window =
                new FetchWindow(List.of(new FetchWindow.Floor(0, 0)), List.of(), List.of(), 500, 2_000, 1_000);
        try (Connection relay = connect();
                Connection writer = connect()) {
            assertThat(store.fetch(relay, window).head()).hasValue(0);
            writer.setAutoCommit(false);
            outbox().within(writer).publish(event("evt-1", "bob"));
            OutboxStore.Fetched before = store.fetch(relay, window);
            assertThat(before.head()).as("given out, not committed").hasValue(1);
            long deleting =
                    store.deleteNamed(relay, List.of(new RowKey(0, 0, "none"))).transaction();
            assertThat(store.fetch(relay, window).snapshotXmin().orElseThrow()).isLessThan(deleting);
            writer.commit();
            Eventually.holds( // other databases of the server have transactions too
                    () -> store.fetch(relay, window).snapshotXmin().orElseThrow() >= deleting,
                    () -> "an older transaction than " + deleting);
        }
    }

    /** Statistics of an empty outbox, of one right after a backlog was drained, and true ones. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "ANALYZE eventbus_outbox",
                "UPDATE pg_class SET reltuples = 1 WHERE relname = 'eventbus_outbox'",
                "ANALYZE eventbus_blocked_key"
            })
    void fetch_and_delete_of_a_backlog_of_a_million_look_rows_up_whatever_statistics_say(String statistics)
            throws SQLException {
        try (Connection relay = connect()) {
            boolean before = statistics.equals("ANALYZE eventbus_outbox");
            execute(relay, "ALTER TABLE eventbus_outbox SET (autovacuum_enabled = off)");
            execute(relay, before ? statistics : "SELECT 1");
            execute(relay, "INSERT INTO eventbus_outbox " + GENERATED.formatted(1, 1_000_000));
            execute(relay, before ? "SELECT 1" : "ANALYZE eventbus_outbox");
            execute(relay, before ? "SELECT 1" : statistics);
            for (Map.Entry<String, String> setting :
                    sql().sessionSettings(Duration.ofSeconds(10)).entrySet()) {
                execute(relay, "SET %s = '%s'".formatted(setting.getKey(), setting.getValue()));
            }
            execute(
                    relay,
                    "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;"
                            + " SET auto_explain.log_level = notice; SET client_min_messages = notice");
            List<FetchWindow.Floor> floors = new ArrayList<>();
            for (int i = 0; i < 16; i++) {
                floors.add(new FetchWindow.Floor(i, 0));
            }
            List<OutboxRow> rows = new OutboxStore(sql())
                    .fetch(relay, new FetchWindow(floors, List.of(), List.of(), 500, 1_500, 1 << 20))
                    .rows();
            List<RowKey> keys = rows.stream().map(OutboxRow::key).toList();
            assertThat(keys).hasSize(1_500);
            assertThat(plan(sql().fetch(relay, new FetchWindow(floors, keys, List.of("other"), 500, 2_000, 1 << 20))))
                    .contains("Index Cond: ((shard = owned.shard) AND (seq > owned.floor))", "hashed SubPlan")
                    .doesNotContain("Seq Scan on eventbus_outbox", "Sort");
            FetchWindow small = new FetchWindow(floors, keys, List.of("other"), null, 500, 1_000, 1 << 20, 1_000);
            assertThat(plan(sql().fetch(relay, small)))
                    .contains("Index Cond: ((shard = owned.shard) AND (seq > owned.floor))", "hashed SubPlan")
                    .doesNotContain("Seq Scan on eventbus_outbox", "Sort", "WindowAgg");
            assertThat(plan(Objects.requireNonNull(sql().deleteAtPlaces(relay, rows))))
                    .containsSubsequence("TID Cond: (ctid = ANY (", "TID Cond: (ctid = ANY (")
                    .doesNotContain("Seq Scan on eventbus_outbox");
            assertThat(plan(sql().delete(relay, keys)))
                    .contains("Index Cond: ((shard = acked.shard) AND (seq = acked.seq))", "TID Cond: (ctid = ANY (")
                    .doesNotContain("Seq Scan on eventbus_outbox");
        }
    }

    /** Of all plans that of an empty table is the worst for a backlog, and it is kept. */
    @Test
    void plans_made_while_the_outbox_was_empty_look_rows_up_in_the_backlog_that_follows() throws SQLException {
        OutboxStore store = new OutboxStore(sql());
        List<FetchWindow.Floor> all = IntStream.range(0, 16)
                .mapToObj(shard -> new FetchWindow.Floor(shard, 0))
                .toList();
        FetchWindow window = new FetchWindow(all, List.of(), List.of(), 500, 1_500, 1 << 20);
        FetchWindow small = new FetchWindow(all, List.of(), List.of(), null, 500, 1_000, 1 << 20, 1_000);
        try (Connection relay = connect()) {
            execute(relay, "ALTER TABLE eventbus_outbox SET (autovacuum_enabled = off)");
            for (Map.Entry<String, String> setting :
                    sql().sessionSettings(Duration.ofSeconds(10)).entrySet()) {
                execute(relay, "SET %s = '%s'".formatted(setting.getKey(), setting.getValue()));
            }
            execute(relay, "INSERT INTO eventbus_outbox " + GENERATED.formatted(1, 10));
            execute(relay, "VACUUM ANALYZE eventbus_outbox");
            for (int i = 0; i < 10; i++) { // the driver prepares a statement at its fifth use
                store.delete(relay, store.fetch(relay, window).rows().subList(0, 1));
                store.fetch(relay, small);
            }
            execute(relay, "INSERT INTO eventbus_outbox " + GENERATED.formatted(11, 100_000));
            execute(
                    relay,
                    "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_level = notice;"
                            + " SET client_min_messages = notice");
            for (FetchWindow either : List.of(window, small)) {
                assertThat(plan(sql().fetch(relay, either)))
                        .contains("Index Cond: ((shard = owned.shard) AND (seq > owned.floor))");
            }
            assertThat(plan(Objects.requireNonNull(sql().deleteAtPlaces(
                                    relay, store.fetch(relay, window).rows()))))
                    .containsSubsequence("TID Cond: (ctid = ANY (", "TID Cond: (ctid = ANY (")
                    .doesNotContain("Seq Scan on eventbus_outbox");
        }
    }

    @Test
    void a_partitioned_outbox_or_one_with_children_is_refused() throws SQLException {
        try (Connection connection = connect()) {
            execute(connection, "CREATE TABLE old_events () INHERITS (eventbus_outbox)");
            assertThatThrownBy(() -> outbox().verify(connection))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("table eventbus_outbox is a view, is partitioned or has children");
        }
    }

    @Test
    void rows_are_deleted_where_they_were_read_in_whatever_order_they_are_named_and_all_or_none() throws SQLException {
        OutboxStore store = new OutboxStore(sql());
        List<FetchWindow.Floor> floors = IntStream.range(0, 16)
                .mapToObj(shard -> new FetchWindow.Floor(shard, 0))
                .toList();
        try (Connection relay = connect()) {
            execute(relay, "INSERT INTO eventbus_outbox " + GENERATED.formatted(1, 300));
            List<OutboxRow> rows =
                    new ArrayList<>(store.fetch(relay, new FetchWindow(floors, List.of(), List.of(), 99, 300, 1 << 20))
                            .rows());
            assertThat(rows).hasSize(300);
            Collections.shuffle(rows, new Random(7));
            store.deleteNamed(relay, List.of(rows.get(0).key()));
            assertThat(deletedAtPlaces(relay, rows)).as("one is gone").isZero();
            assertThat(deletedAtPlaces(relay, rows.subList(1, 300))).isEqualTo(299);
        }
    }

    private int deletedAtPlaces(Connection relay, List<OutboxRow> rows) throws SQLException {
        try (PreparedStatement delete = Objects.requireNonNull(sql().deleteAtPlaces(relay, rows));
                ResultSet deleted = delete.executeQuery()) {
            deleted.next();
            return deleted.getInt(1);
        }
    }

    @Test
    void rows_that_a_rewrite_of_the_table_has_moved_are_deleted_all_the_same() throws SQLException {
        OutboxStore store = new OutboxStore(sql());
        FetchWindow all = new FetchWindow(
                List.of(new FetchWindow.Floor(Shards.of("bob"), 0)), List.of(), List.of(), 99, 99, 1 << 20);
        try (Connection relay = connect()) {
            relay.setAutoCommit(false);
            for (int i = 0; i < 40; i++) {
                outbox().within(relay).publish(event("evt-" + i, "bob"));
            }
            relay.commit();
            relay.setAutoCommit(true);
            store.delete(relay, store.fetch(relay, all).rows().subList(0, 10));
            List<OutboxRow> before = store.fetch(relay, all).rows();
            execute(relay, "CREATE INDEX by_id ON eventbus_outbox (id); CLUSTER eventbus_outbox USING by_id");
            assertThat(store.fetch(relay, all).rows())
                    .extracting(OutboxRow::place)
                    .as("others are where they were")
                    .isNotEqualTo(before.stream().map(OutboxRow::place).toList());
            assertThat(store.delete(relay, before.subList(0, 20)).rows()).isEqualTo(20);
            assertThat(store.fetch(relay, all).rows())
                    .extracting(row -> row.key().id())
                    .containsExactlyElementsOf(before.subList(20, 30).stream()
                            .map(row -> row.key().id())
                            .toList());
        }
    }

    @Test
    void a_new_transaction_comes_after_all_that_there_were() throws SQLException {
        OutboxStore store = new OutboxStore(sql());
        try (Connection relay = connect()) {
            long before = store.newTransaction(relay);
            assertThat(store.deleteNamed(relay, List.of(new RowKey(0, 0, "none")))
                            .transaction())
                    .isGreaterThan(before);
            assertThat(store.newTransaction(relay)).isGreaterThan(before + 1);
        }
    }

    private static String plan(PreparedStatement statement) throws SQLException {
        try (statement;
                ResultSet rows = statement.executeQuery()) {
            assertThat(rows.next()).isTrue();
            return String.valueOf(statement.getWarnings());
        }
    }

    @Test
    void a_lease_means_the_same_in_every_time_zone() throws SQLException {
        try (Connection seoul = connect();
                Connection utc = connect()) {
            execute(seoul, "SET TIME ZONE 'Asia/Seoul'");
            execute(utc, "SET TIME ZONE 'UTC'");
            leases("seoul").renew(seoul);
            leases("utc").renew(utc);
            assertThat(leases("seoul").members(seoul)).hasSize(2);
            assertThat(leases("utc").members(utc)).hasSize(2);
            assertThat(claim(seoul, leases("seoul"))).hasSize(16);
            assertThat(claim(utc, leases("utc"))).isEmpty();
            assertThat(leases("utc").leases(utc))
                    .allSatisfy(lease -> assertThat(lease.millisLeft()).isBetween(50_000L, 60_000L));
            execute(seoul, "UPDATE eventbus_relay_lease SET lease_until = clock_timestamp() - interval '1 second'");
            assertThat(claim(utc, leases("utc"))).hasSize(16);
            assertThat(claim(seoul, leases("seoul"))).isEmpty();
        }
    }

    @Test
    void verify_says_where_it_looked_for_missing_tables() throws SQLException {
        try (Connection connection = connect()) {
            assertThatThrownBy(() -> outbox().schema("scan").verify(connection))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("schema 'scan'")
                    .hasMessageContaining("user " + postgres.user())
                    .hasMessageContaining("database store_")
                    .hasMessageContaining("META-INF/eventbus/outbox/postgresql/V1__eventbus_outbox.sql");
            outbox().schema("scan").table("outbox").createTables(connection);
            outbox().schema("scan").table("outbox").verify(connection);
        }
    }

    private long count(String query) throws SQLException {
        try (Connection connection = connect();
                Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(query)) {
            row.next();
            return row.getLong(1);
        }
    }
}
