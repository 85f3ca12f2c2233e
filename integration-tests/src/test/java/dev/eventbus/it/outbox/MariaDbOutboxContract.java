package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.PublishFailedException;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.faults.crash.Decorator;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.sql.BlockedKeyStore;
import dev.eventbus.outbox.sql.DatabaseFault;
import dev.eventbus.outbox.sql.FetchWindow;
import dev.eventbus.outbox.sql.LeaseStore;
import dev.eventbus.outbox.sql.MariaDbOutboxSql;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxSql;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.RowKey;
import dev.eventbus.outbox.sql.Shards;
import dev.eventbus.outbox.sql.TableNames;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.TimeZone;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** What beside the contract could go wrong on MariaDB and MySQL in particular. */
abstract class MariaDbOutboxContract extends OutboxStoreContract {

    /** A collation that is not one of bytes takes some of them for one. */
    private static final List<String> LOOK_ALIKE =
            List.of("evt-A", "EVT-a", "evt-A ", "evt-a", "evt-Á", "evt-A\u200b", "evt-Å", "evt-A\u030a", "ss", "ß");

    private static final OutboxStore STORE = new OutboxStore(new MariaDbOutboxSql(TableNames.defaults()));

    @Override
    OutboxSql sql() {
        return STORE.sql();
    }

    @Override
    String quoted(String name) {
        return '`' + name + '`';
    }

    @Test
    void look_alike_ids_and_keys_are_different_ones() throws SQLException {
        publish(LOOK_ALIKE.stream().map(text -> event(text, text)).toArray(Event<?>[]::new));
        List<OutboxRow> rows = fetch();
        assertThat(ids(rows)).containsExactlyInAnyOrderElementsOf(LOOK_ALIKE);
        assertThat(rows)
                .allSatisfy(row ->
                        assertThat(row.event().key()).isEqualTo(row.event().id()));
        try (Connection relay = connect()) {
            for (OutboxRow row : rows) {
                for (String other : LOOK_ALIKE) {
                    RowKey key = row.key();
                    boolean same = other.equals(key.id());
                    assertThat(exists(relay, new RowKey(key.shard(), key.seq(), other)))
                            .as("%s as %s", key.id(), other)
                            .isEqualTo(same);
                    if (!same) {
                        assertThat(STORE.deleteNamed(relay, List.of(new RowKey(key.shard(), key.seq(), other)))
                                        .rows())
                                .as("%s as %s", key.id(), other)
                                .isZero();
                    }
                }
                assertThat(block("asset.events", row.event().key(), row.key())).isEqualTo(1);
            }
            assertThat(fetch()).isEmpty();
            assertThat(STORE.deleteNamed(
                                    relay, rows.stream().map(OutboxRow::key).toList())
                            .rows())
                    .isEqualTo(LOOK_ALIKE.size());
        }
    }

    private boolean exists(Connection connection, RowKey row) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql().rowExists())) {
            query.setInt(1, row.shard());
            query.setLong(2, row.seq());
            query.setString(3, row.id());
            try (ResultSet found = query.executeQuery()) {
                return found.next();
            }
        }
    }

    @Test
    void look_alike_topics_names_and_owners_are_different_ones() throws SQLException {
        publish(event("evt-1", "bob"));
        try (Connection relay = connect()) {
            List<String> others = List.of("ASSET.events", "asset.events ", "Asset.events");
            FetchWindow window = new FetchWindow(allShards(), List.of(), others, 500, 2_000, 1_000_000);
            assertThat(ids(STORE.fetch(relay, window).rows())).containsExactly("evt-1");
            assertThat(STORE.fetch(relay, FetchWindow.firstOf("asset.Events", allShards(), List.of()))
                            .rows())
                    .isEmpty();
            for (String name : LOOK_ALIKE) {
                assertThat(STORE.metaOnce(relay, name, name)).isEqualTo(name);
            }
            assertThat(claim(relay, leases("relay-A"))).hasSize(Shards.COUNT);
            for (String owner : List.of("relay-a", "RELAY-A", "relay-A ", "relay-Á")) {
                assertThat(leases(owner).lock(relay, 3, 1)).as(owner).isFalse();
                leases(owner).leave(relay);
            }
            assertThat(owned("relay-A")).hasSize(Shards.COUNT);
        }
    }

    @Test
    void an_id_of_128_bytes_fits_and_one_of_129_is_refused_not_cut() throws SQLException {
        String longest = "é".repeat(64);
        publish(event(longest, "bob"));
        assertThat(ids(fetch())).containsExactly(longest);
        try (Connection tx = connect()) {
            assertThatThrownBy(() -> insert(tx, longest + "x"))
                    .isInstanceOfSatisfying(
                            SQLException.class, e -> assertThat(e.getSQLState()).isEqualTo("22001"));
            execute(tx, "SET SESSION sql_mode = ''");
            assertThatThrownBy(() -> insert(tx, longest + "x"))
                    .isInstanceOfSatisfying(
                            SQLException.class,
                            e -> assertThat(sql().isUnsafeSession(e)).isTrue());
        }
        assertThat(fetch()).hasSize(1);
    }

    private void insert(Connection connection, String id) throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement(sql().insert())) {
            insert.setInt(1, 1);
            insert.setString(2, id);
            for (int column = 3; column <= 10; column++) {
                insert.setString(column, "x");
            }
            insert.executeUpdate();
        }
    }

    @Test
    void a_session_that_cannot_keep_the_promise_is_refused() throws SQLException {
        for (String setting : List.of(
                "SET SESSION sql_mode = 'ANSI'",
                "SET SESSION auto_increment_increment = 2",
                "SET GLOBAL innodb_flush_log_at_trx_commit = 2",
                "SET GLOBAL innodb_flush_log_at_trx_commit = 0")) {
            try (Connection tx = connect()) {
                execute(tx, setting);
                tx.setAutoCommit(false);
                assertThatThrownBy(() -> outbox().within(tx).publish(event("evt-1", "bob")))
                        .as(setting)
                        .isInstanceOf(PublishRefusedException.class)
                        .hasMessageContaining(setting.replaceAll(".* (\\w+) = .*", "$1"))
                        .hasMessageContaining("Nothing was written");
                assertThatThrownBy(() ->
                                outbox().within(tx).publishAll(List.of(event("evt-1", "bob"), event("evt-2", "bob"))))
                        .as(setting)
                        .isInstanceOf(PublishRefusedException.class);
                tx.commit();
            } finally {
                execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1");
            }
        }
        assertThat(fetch()).isEmpty();
        try (Connection tx = connect()) {
            execute(tx, "SET SESSION sql_mode = 'ANSI,STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES'");
            tx.setAutoCommit(false);
            outbox().within(tx).publish(event("it's \"one\" \\ of `them`", "bob"));
            tx.commit();
        }
        assertThat(fetch()).hasSize(1);
        try (Connection relay = connect()) {
            assertThat(STORE.deleteNamed(
                                    relay, fetch().stream().map(OutboxRow::key).toList())
                            .rows())
                    .isEqualTo(1);
        }
    }

    @Test
    void a_server_that_could_reorder_or_forget_is_refused() throws SQLException {
        for (String setting : List.of("auto_increment_increment = 3", "innodb_flush_log_at_trx_commit = 2")) {
            try (Connection relay = connect()) {
                outbox().verify(relay);
                execute("SET GLOBAL " + setting);
                assertThatThrownBy(() -> outbox().verify(relay))
                        .isInstanceOf(StartRefusedException.class)
                        .hasMessageContaining(setting.replace("=", "is"));
            } finally {
                execute("SET GLOBAL auto_increment_increment = 1");
                execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1");
            }
        }
    }

    /** Number or word, as versions differ: MariaDB 12 says OFF, which the driver takes for true. */
    @Test
    void a_primary_is_told_from_a_standby_by_whatever_word_the_server_has_for_it() throws SQLException {
        try (Connection relay = connect()) {
            for (String primary : List.of("0", "'OFF'")) {
                assertThatCode(() -> outbox().verify(saying(primary, relay)))
                        .as(primary)
                        .doesNotThrowAnyException();
            }
            for (String standby : List.of("1", "'ON'", "'NO_LOCK'", "'NO_LOCK_NO_ADMIN'")) {
                assertThatThrownBy(() -> outbox().verify(saying(standby, relay)))
                        .as(standby)
                        .isInstanceOf(StartRefusedException.class)
                        .hasMessageContaining("is a standby");
            }
        }
    }

    private static Connection saying(String readOnly, Connection real) {
        return Decorator.of(
                Connection.class,
                (method, arguments) -> method.getName().equals("prepareStatement")
                        ? real.prepareStatement(String.valueOf(arguments[0]).replace("@@GLOBAL.read_only", readOnly))
                        : method.invoke(real, arguments));
    }

    @Test
    void a_time_means_the_same_in_every_time_zone() throws SQLException {
        try (Connection seoul = inZone("Asia/Seoul");
                Connection utc = inZone("UTC")) {
            execute(seoul, "SET time_zone = '+09:00'");
            execute(utc, "SET time_zone = '+00:00'");
            assertThat(claim(seoul, leases("seoul"))).hasSize(Shards.COUNT);
            assertThat(claim(utc, leases("utc"))).isEmpty();
            leases("seoul").leave(seoul);
            assertThat(claim(utc, lapsed("utc"))).hasSize(Shards.COUNT);
            assertThat(claim(seoul, lapsed("seoul"))).hasSize(Shards.COUNT);
            assertThat(claim(utc, leases("utc"))).hasSize(Shards.COUNT);

            Instant now = Instant.now();
            seoul.setAutoCommit(false);
            outbox().within(seoul).publish(event("evt-1", "bob"));
            seoul.commit();
            FetchWindow window = new FetchWindow(allShards(), List.of(), List.of(), 500, 2_000, 1_000_000);
            for (Connection relay : List.of(seoul, utc)) {
                assertThat(STORE.fetch(relay, window).rows())
                        .singleElement()
                        .satisfies(row ->
                                assertThat(row.createdAt()).isBetween(now.minusSeconds(60), now.plusSeconds(60)));
                assertThat(STORE.now(relay)).isBetween(now.minusSeconds(60), now.plusSeconds(60));
            }
        }
    }

    /** A connection of a JVM in this zone: drivers take it from there. */
    private Connection inZone(String zone) throws SQLException {
        TimeZone before = TimeZone.getDefault();
        TimeZone.setDefault(TimeZone.getTimeZone(zone));
        try {
            return connect();
        } finally {
            TimeZone.setDefault(before);
        }
    }

    @Test
    void fetch_and_delete_go_by_the_primary_key_though_statistics_say_the_outbox_is_empty() throws SQLException {
        try (Connection relay = connect()) {
            execute(relay, "ANALYZE TABLE eventbus_outbox");
            for (int batch = 0; batch < 20; batch++) {
                int first = batch * 5_000;
                publish(IntStream.range(first, first + 5_000)
                        .mapToObj(i -> event("evt-" + i, "user-" + i % 1_000))
                        .toArray(Event<?>[]::new));
            }
            relay.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            List<OutboxRow> inFlight = fetch();
            List<RowKey> keys = inFlight.stream().map(OutboxRow::key).toList();
            FetchWindow window = new FetchWindow(allShards(), keys, List.of("other"), 500, 2_000, 8 << 20);
            MariaDbOutboxSql mariaDb = new MariaDbOutboxSql(TableNames.defaults());
            assertThat(plan(relay, on -> mariaDb.fetch(on, window)))
                    .hasSizeGreaterThan(Shards.COUNT)
                    .allMatch(step -> step.matches("(range|eq_ref) PRIMARY"));
            assertThat(plan(relay, on -> mariaDb.missed(on, window, inFlight)))
                    .hasSizeGreaterThan(4)
                    .allMatch(step -> step.matches("(range|eq_ref) PRIMARY"));
            assertThat(plan(relay, on -> mariaDb.delete(on, keys))).containsExactly("eq_ref PRIMARY");

            execute(relay, "FLUSH STATUS");
            assertThat(STORE.fetch(relay, window).rows()).hasSize(2_000);
            assertThat(rowsRead(relay)).as("of 100,000").isLessThan(70_000);
            execute(relay, "FLUSH STATUS");
            assertThat(STORE.deleteNamed(relay, keys).rows()).isEqualTo(2_000);
            assertThat(rowsRead(relay)).as("of 100,000").isLessThan(10_000);
        }
    }

    /** As a snapshot that was collected while transactions ended: it has the third event of a key and not the second. */
    @Test
    void what_a_snapshot_lacked_and_what_comes_behind_it_of_its_key_is_left_for_the_next_fetch() throws SQLException {
        String beside = IntStream.iterate(0, i -> i + 1)
                .mapToObj(i -> "carol-" + i)
                .filter(key -> Shards.of(key) == Shards.of("bob"))
                .findFirst()
                .orElseThrow();
        try (Connection late = connect();
                Connection relay = connect()) {
            publish(event("bob:1", "bob"));
            late.setAutoCommit(false);
            outbox().within(late).publish(event("bob:2", "bob"));
            publish(event("bob:3", "bob"), event("carol:1", beside));
            OutboxStore store = new OutboxStore(committingBeforeTheSecondLook(late));
            FetchWindow window = new FetchWindow(allShards(), List.of(), List.of(), 500, 2_000, 1_000_000);
            OutboxStore.Fetched torn = store.fetch(relay, window);
            assertThat(ids(torn.rows())).containsExactly("bob:1", "carol:1");
            assertThat(torn.isCut()).isTrue();
            assertThat(torn.seenUpTo()).hasSize(Shards.COUNT - 1).doesNotContainKey(Shards.of("bob"));
            OutboxStore.Fetched next = store.fetch(relay, window);
            assertThat(ids(next.rows())).containsExactly("bob:1", "bob:2", "bob:3", "carol:1");
            assertThat(next.isCut()).isFalse();
            assertThat(next.seenUpTo()).hasSize(Shards.COUNT);
        }
    }

    @Test
    void where_a_snapshot_lacked_more_than_is_looked_at_nothing_behind_that_is_sent() throws SQLException {
        try (Connection late = connect();
                Connection relay = connect()) {
            late.setAutoCommit(false);
            for (int i = 0; i < OutboxSql.MOST_MISSED; i++) {
                outbox().within(late).publish(event(ASSET, "late-" + i, "bob", "as another key of bob's shard"));
            }
            publish(event(HOUSING, "evt-1", "bob", ""));
            OutboxStore store = new OutboxStore(committingBeforeTheSecondLook(late));
            FetchWindow window = new FetchWindow(allShards(), List.of(), List.of(), 500, 2_000, 1_000_000);
            assertThat(store.fetch(relay, window)).matches(torn -> torn.rows().isEmpty() && torn.isCut());
            assertThat(ids(store.fetch(relay, window).rows()))
                    .hasSize(OutboxSql.MOST_MISSED + 1)
                    .endsWith("evt-1");
        }
    }

    /** Then nothing can be said of the topic: it is not let in as one without events. */
    @Test
    void the_first_event_of_a_topic_may_be_one_that_is_left_for_the_next_fetch() throws SQLException {
        try (Connection late = connect();
                Connection relay = connect()) {
            late.setAutoCommit(false);
            outbox().within(late).publish(event("bob:1", "bob"));
            publish(event("bob:2", "bob"));
            OutboxStore store = new OutboxStore(committingBeforeTheSecondLook(late));
            FetchWindow first = FetchWindow.firstOf("asset.events", allShards(), List.of());
            assertThat(store.fetch(relay, first)).matches(torn -> torn.rows().isEmpty() && torn.isCut());
            assertThat(ids(store.fetch(relay, first).rows())).containsExactly("bob:1");
        }
    }

    private static OutboxSql committingBeforeTheSecondLook(Connection late) {
        return Decorator.of(OutboxSql.class, (method, arguments) -> {
            if (method.getName().equals("missed")) {
                late.commit();
            }
            return method.invoke(STORE.sql(), arguments);
        });
    }

    private interface Prepare {
        PreparedStatement on(Connection connection) throws SQLException;
    }

    /** How each step that reads the event table does it. */
    private static List<String> plan(Connection relay, Prepare prepare) throws SQLException {
        Connection explaining = Decorator.of(
                Connection.class,
                (method, arguments) -> method.getName().equals("prepareStatement")
                        ? relay.prepareStatement("EXPLAIN " + arguments[0])
                        : method.invoke(relay, arguments));
        try (PreparedStatement explain = prepare.on(explaining);
                ResultSet steps = explain.executeQuery()) {
            List<String> plan = new ArrayList<>();
            while (steps.next()) {
                if (List.of("o", "event", "eventbus_outbox", "eventbus_key_lock")
                        .contains(String.valueOf(steps.getString("table")))) {
                    plan.add(steps.getString("type") + " " + steps.getString("key"));
                }
            }
            return plan;
        }
    }

    private static long rowsRead(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet counts = statement.executeQuery("SHOW SESSION STATUS LIKE 'Handler_read%'")) {
            long sum = 0;
            while (counts.next()) {
                sum += counts.getLong(2);
            }
            return sum;
        }
    }

    @Test
    void a_relay_and_writers_at_repeatable_read_never_wait_for_each_other() throws SQLException {
        publish(IntStream.range(0, 200).mapToObj(i -> event("evt-" + i, "bob")).toArray(Event<?>[]::new));
        try (Connection writer = connect();
                Connection relay = connect()) {
            execute(writer, "SET SESSION innodb_lock_wait_timeout = 1");
            execute(relay, "SET SESSION innodb_lock_wait_timeout = 1");
            relay.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            writer.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            writer.setAutoCommit(false);
            relay.setAutoCommit(false); // so that what a statement locks stays locked

            outbox().within(writer).publish(event("open", "bob"));
            FetchWindow all = new FetchWindow(allShards(), List.of(), List.of(), 500, 2_000, 1_000_000);
            List<OutboxRow> committed = STORE.fetch(relay, all).rows();
            assertThat(committed).hasSize(200);
            List<RowKey> keys =
                    committed.subList(0, 100).stream().map(OutboxRow::key).toList();
            assertThat(STORE.deleteNamed(relay, keys).rows()).isEqualTo(100);
            assertThat(STORE.deleteNamed(relay, keys).rows()).as("gone already").isZero();
            assertThatCode(() -> outbox().within(writer).publish(event("beside", "bob")))
                    .doesNotThrowAnyException();
            try (Connection another = connect()) {
                execute(another, "SET SESSION innodb_lock_wait_timeout = 1");
                another.setAutoCommit(false);
                outbox().within(another).publish(event("another", "bob"));
                another.commit();
            }
            writer.commit();
            relay.commit();
            assertThat(ids(STORE.fetch(relay, all).rows()))
                    .hasSize(103)
                    .contains("open", "beside", "another")
                    .doesNotContain("evt-99");
            relay.commit();
        }
    }

    @Test
    void a_lease_that_somebody_has_locked_is_passed_over_when_leases_are_given_back() throws SQLException {
        try (Connection frozen = connect();
                Connection relay = connect()) {
            execute(relay, "SET SESSION innodb_lock_wait_timeout = 1");
            relay.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            assertThat(claim(relay, leases("one"))).hasSize(Shards.COUNT);
            frozen.setAutoCommit(false);
            execute(frozen, "SELECT 1 FROM eventbus_relay_lease WHERE shard = 7 FOR UPDATE");
            assertThat(leases("one").release(relay, 7, 1)).isFalse();
            assertThat(leases("one").release(relay, 8, 1)).isTrue();
            leases("one").leave(relay);
            assertThat(owned("one")).containsOnlyKeys(7);
            frozen.rollback();
            leases("one").leave(relay);
            assertThat(owned("one")).isEmpty();
        }
    }

    /** Whoever blocks or discards locks the lease first, then the event, then the block. */
    @Test
    void who_lifts_blocks_waits_for_no_lease_and_no_event() throws SQLException {
        publish(event("evt-1", "bob"), event("evt-2", "alice"));
        BlockedKeyStore blocks = new BlockedKeyStore(sql());
        try (Connection other = connect();
                Connection relay = connect()) {
            execute(relay, "SET SESSION innodb_lock_wait_timeout = 1");
            relay.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            claim(relay, leases("one"));
            block("asset.events", "bob", new RowKey(Shards.of("bob"), 4_711, "gone"));
            for (OutboxRow row : fetch()) {
                if (row.event().key().equals("alice")) {
                    block("asset.events", "alice", row.key());
                }
            }
            other.setAutoCommit(false);
            for (int shard = 0; shard < Shards.COUNT; shard++) {
                blocks.lock(other, shard);
            }
            execute(other, "SELECT 1 FROM eventbus_outbox FOR UPDATE");
            assertThatCode(() -> blocks.lift(relay, "one")).doesNotThrowAnyException();
            other.rollback();
            assertThat(number(relay, "SELECT count(*) FROM eventbus_blocked_key"))
                    .isEqualTo(1);
        }
    }

    @Test
    void a_key_is_locked_until_the_transaction_ends_and_no_other_key_is() throws SQLException {
        try (Connection first = connect();
                Connection second = connect()) {
            execute(first, "SET SESSION innodb_lock_wait_timeout = 1");
            execute(second, "SET SESSION innodb_lock_wait_timeout = 1");
            first.setAutoCommit(false);
            second.setAutoCommit(false);
            outbox().within(first).lockKeys("alice", "bob", "carol");
            outbox().within(second).lockKeys("dave");
            outbox().within(second)
                    .lockKeys(
                            IntStream.range(0, 500).mapToObj(i -> "other-" + i).toArray(String[]::new));
            assertThatThrownBy(() -> outbox().within(second).lockKeys("erin", "bob"))
                    .isInstanceOf(PublishFailedException.class)
                    .hasMessageContaining("HY000")
                    .hasMessageNotContaining("bob");
            first.commit();
            outbox().within(second).lockKeys("erin", "bob");
            second.commit();
            assertThat(plan(
                            second,
                            on -> sql().lockKeys(on, IntStream.range(100, 1_100).toArray())))
                    .containsExactly("range PRIMARY");
        }
    }

    @Test
    void a_session_that_was_killed_is_lost_and_nothing_else_is() throws SQLException {
        try (Connection killed = connect()) {
            long id = number(killed, "SELECT CONNECTION_ID()");
            execute("KILL CONNECTION " + id);
            assertThatThrownBy(() -> number(killed, "SELECT 1"))
                    .isInstanceOfSatisfying(
                            SQLException.class,
                            e -> assertThat(DatabaseFault.isConnectionLost(e)).isTrue());
        }
        try (Connection open = connect()) {
            assertThatThrownBy(() -> number(open, "SELECT none FROM eventbus_outbox"))
                    .isInstanceOfSatisfying(
                            SQLException.class,
                            e -> assertThat(DatabaseFault.isConnectionLost(e)).isFalse());
        }
    }

    @Test
    void tables_may_be_in_another_database_under_another_name() throws SQLException {
        String other = "other_" + Long.toString(System.nanoTime(), 36);
        JdbcOutbox elsewhere = outbox().schema(other).table("events");
        try (Connection tx = connect()) {
            assertThatThrownBy(() -> elsewhere.verify(tx))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("schema '" + other + "'")
                    .hasMessageContaining("META-INF/eventbus/outbox/mariadb/V1__eventbus_outbox.sql");
            elsewhere.createTables(tx);
            elsewhere.createTables(tx);
            elsewhere.verify(tx);
            assertThat(number(tx, "SELECT count(*) FROM " + other + ".eventbus_key_lock"))
                    .isEqualTo(4_096);
            tx.setAutoCommit(false);
            elsewhere.within(tx).publish(event("evt-1", "bob"));
            tx.commit();
            OutboxStore store = new OutboxStore(new MariaDbOutboxSql(new TableNames(other, "events")));
            FetchWindow window = new FetchWindow(allShards(), List.of(), List.of(), 500, 2_000, 1_000_000);
            List<RowKey> keys =
                    store.fetch(tx, window).rows().stream().map(OutboxRow::key).toList();
            assertThat(keys).hasSize(1);
            tx.setAutoCommit(true);
            String here = tx.getCatalog();
            execute(tx, "CREATE DATABASE nowhere_" + other);
            tx.setCatalog("nowhere_" + other);
            execute(tx, "DROP DATABASE nowhere_" + other); // so there is no default database
            LeaseStore leases = new LeaseStore(store.sql(), "one", Duration.ofSeconds(10));
            leases.renew(tx);
            assertThat(leases.claim(tx, leases.leases(tx).get(0))).isTrue();
            assertThat(store.count(tx, keys)).isEqualTo(1);
            assertThat(store.deleteNamed(tx, keys).rows()).isEqualTo(1);
            tx.setCatalog(here);
            execute(tx, "DROP DATABASE " + other);
        }
    }

    @Test
    void a_delete_of_many_rows_is_quick() throws SQLException {
        publish(IntStream.range(0, 2_000)
                .mapToObj(i -> event("evt-" + i, "user-" + i % 20))
                .toArray(Event<?>[]::new));
        List<RowKey> keys = fetch().stream().map(OutboxRow::key).toList();
        try (Connection relay = connect()) {
            long start = System.nanoTime();
            assertThat(STORE.deleteNamed(relay, keys).rows()).isEqualTo(2_000);
            assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(2));
        }
    }

    @Override
    JdbcOutbox outbox() {
        return JdbcOutbox.mariaDb();
    }

    private void execute(String sql) throws SQLException {
        try (Connection connection = connect()) {
            execute(connection, sql);
        }
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static long number(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(sql)) {
            row.next();
            return row.getLong(1);
        }
    }
}
