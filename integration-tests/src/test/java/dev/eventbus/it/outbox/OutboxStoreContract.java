package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.StartRefusedException;
import dev.eventbus.faults.crash.Decorator;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.sql.BlockedKeyStore;
import dev.eventbus.outbox.sql.FetchWindow;
import dev.eventbus.outbox.sql.LeaseStore;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxSql;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.RowKey;
import dev.eventbus.outbox.sql.Shards;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What every database must do with the outbox's tables; one small subclass per database. */
abstract class OutboxStoreContract {

    record Payload(String userId, String text) {}

    static final EventType<Payload> ASSET =
            EventType.of("ASSET_UPDATED", Payload.class).topic("asset.events").key(Payload::userId);
    static final EventType<Payload> HOUSING = EventType.of("HOUSING_UPDATED", Payload.class)
            .topic("housing.events")
            .key(Payload::userId);

    private Connection relay;
    private OutboxSql sql;
    private OutboxStore store;

    /** A connection to an empty database; one database for the whole test. */
    abstract Connection connect() throws SQLException;

    abstract JdbcOutbox outbox();

    abstract OutboxSql sql();

    /** A name as this database quotes it. */
    String quoted(String name) {
        return '"' + name + '"';
    }

    @BeforeEach
    void open() throws SQLException {
        relay = connect();
        outbox().createTables(relay);
        sql = sql();
        store = new OutboxStore(sql);
    }

    @AfterEach
    void close() throws SQLException {
        relay.close();
    }

    void publish(Event<?>... events) throws SQLException {
        try (Connection tx = connect()) {
            tx.setAutoCommit(false);
            outbox().within(tx).publishAll(List.of(events));
            tx.commit();
        }
    }

    static Event<Payload> event(EventType<Payload> type, String id, String user, String text) {
        return Event.of(type, id, Instant.EPOCH, new Payload(user, text));
    }

    static Event<Payload> event(String id, String user) {
        return event(ASSET, id, user, "");
    }

    static List<FetchWindow.Floor> allShards() {
        return IntStream.range(0, Shards.COUNT)
                .mapToObj(shard -> new FetchWindow.Floor(shard, Long.MIN_VALUE))
                .toList();
    }

    List<OutboxRow> fetch() throws SQLException {
        return fetch(List.of(), List.of(), 500, 2_000, 1_000_000);
    }

    private List<OutboxRow> fetch(
            Collection<RowKey> inFlight, Collection<String> excluded, int perShard, int rows, long bytes)
            throws SQLException {
        return store.fetch(relay, new FetchWindow(allShards(), inFlight, excluded, perShard, rows, bytes))
                .rows();
    }

    static List<String> ids(List<OutboxRow> rows) {
        return rows.stream().map(row -> row.event().id()).toList();
    }

    @Test
    void a_row_comes_back_as_it_was_published() throws SQLException {
        publish(event(ASSET, "evt-1", "사용자-1", "é\"\\")
                .withHeader("tenant", "eu")
                .withHeader("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assertThat(fetch()).singleElement().satisfies(row -> {
            assertThat(row.event().key()).isEqualTo("사용자-1");
            assertThat(row.event().topic()).isEqualTo("asset.events");
            assertThat(row.event().type()).isEqualTo("ASSET_UPDATED");
            assertThat(row.event().contentType()).isEqualTo("application/json");
            assertThat(row.event().headers()).isEqualTo(Map.of("tenant", "eu"));
            assertThat(row.event().traceparent()).startsWith("00-");
            assertThat(row.event().tracestate()).isNull();
            assertThat(row.event().value()).asString().contains("é").contains("1970-01-01T00:00:00Z");
            assertThat(row.createdAt()).isAfter(Instant.parse("2026-01-01T00:00:00Z"));
            assertThat(row.key().shard()).isEqualTo(Shards.of("사용자-1"));
        });
    }

    @Test
    void rows_of_a_shard_come_in_the_order_of_their_numbers() throws SQLException {
        publish(IntStream.range(0, 700)
                .mapToObj(i -> event("evt-" + i, "user-" + i % 20))
                .toArray(Event<?>[]::new));
        List<OutboxRow> rows = fetch();
        assertThat(rows).hasSize(700);
        Map<Integer, Long> last = new TreeMap<>();
        for (OutboxRow row : rows) {
            assertThat(row.key().seq())
                    .isGreaterThan(last.getOrDefault(row.key().shard(), -1L));
            last.put(row.key().shard(), row.key().seq());
        }
    }

    @Test
    void what_is_in_flight_excluded_or_blocked_is_left_out() throws SQLException {
        publish(
                event("evt-1", "bob"),
                event("evt-2", "bob"),
                event("evt-3", "alice"),
                event(HOUSING, "evt-4", "bob", ""));
        List<OutboxRow> all = fetch();
        List<RowKey> first = all.stream()
                .filter(row -> row.event().id().equals("evt-1"))
                .map(OutboxRow::key)
                .toList();
        assertThat(ids(fetch(first, List.of(), 500, 2_000, 1_000_000)))
                .containsExactlyInAnyOrder("evt-2", "evt-3", "evt-4");
        assertThat(ids(fetch(List.of(), List.of("asset.events", "none"), 500, 2_000, 1_000_000)))
                .containsExactly("evt-4");
        assertThat(block("asset.events", "bob", first.get(0))).isEqualTo(1);
        assertThat(ids(fetch())).containsExactlyInAnyOrder("evt-3", "evt-4");
        assertThat(block("asset.events", "bob", first.get(0)))
                .as("it is blocked already")
                .isZero();
    }

    int block(String topic, String key, RowKey row) throws SQLException {
        try (PreparedStatement insert = relay.prepareStatement(sql.insertBlockedKey())) {
            insert.setString(1, topic);
            insert.setString(2, key);
            insert.setInt(3, row.shard());
            insert.setLong(4, row.seq());
            insert.setString(5, row.id());
            insert.setString(6, "REFUSED");
            insert.setString(7, "SomeException");
            insert.setString(8, null);
            return insert.executeUpdate();
        }
    }

    @Test
    void a_blocked_key_is_told_from_one_that_differs_in_case_or_by_a_space() throws SQLException {
        publish(event("evt-1", "bob"), event("evt-2", "Bob"), event("evt-3", "bob "), event("evt-4", "böb"));
        RowKey bob = fetch().stream()
                .filter(row -> row.event().key().equals("bob"))
                .findFirst()
                .orElseThrow()
                .key();
        block("asset.events", "bob", bob);
        assertThat(ids(fetch())).containsExactlyInAnyOrder("evt-2", "evt-3", "evt-4");
    }

    @Test
    void a_floor_cuts_what_is_below_it() throws SQLException {
        publish(event("evt-1", "bob"), event("evt-2", "bob"));
        RowKey first = fetch().get(0).key();
        List<FetchWindow.Floor> floor = List.of(new FetchWindow.Floor(first.shard(), first.seq()));
        assertThat(ids(store.fetch(relay, new FetchWindow(floor, List.of(), List.of(), 500, 2_000, 1_000_000))
                        .rows()))
                .containsExactly("evt-2");
    }

    @Test
    void a_fetch_keeps_its_limits_of_rows_and_bytes() throws SQLException {
        publish(IntStream.range(0, 60)
                .mapToObj(i -> event(ASSET, "evt-" + i, "user-" + i % 3, "x".repeat(10_000)))
                .toArray(Event<?>[]::new));
        assertThat(fetch(List.of(), List.of(), 5, 2_000, 10_000_000)).hasSizeLessThanOrEqualTo(15);
        assertThat(fetch(List.of(), List.of(), 500, 7, 10_000_000)).hasSize(7);
        assertThat(fetch(List.of(), List.of(), 500, 2_000, 30_000)).hasSize(3);
        assertThat(fetch(List.of(), List.of(), 500, 2_000, 1))
                .as("one always comes, however large")
                .hasSize(1);
    }

    @Test
    void a_fetch_counts_headers_as_it_counts_payloads() throws SQLException {
        publish(IntStream.range(0, 10)
                .mapToObj(i -> event("evt-" + i, "user-" + i % 3).withHeader("note", "x".repeat(10_000)))
                .toArray(Event<?>[]::new));
        List<OutboxRow> page = fetch(List.of(), List.of(), 500, 2_000, 30_000);
        assertThat(page).hasSize(3).allSatisfy(row -> assertThat(row.bytes()).isGreaterThan(10_000));
    }

    private static final int MOST = 1_000;

    /** Of rows that are each no larger than {@link #MOST}. */
    private static FetchWindow ofSmallRows(Collection<RowKey> inFlight) {
        return new FetchWindow(allShards(), inFlight, List.of(), null, 500, 2_000, 2_000 * MOST, MOST);
    }

    private static Event<Payload> large(String id, String user) {
        return event(ASSET, id, user, "x".repeat(10 * MOST));
    }

    @Test
    void a_row_that_is_too_large_for_a_page_cuts_its_shard_and_no_other() throws SQLException {
        publish(event("bob:1", "bob"), large("bob:2", "bob"), event("bob:3", "bob"), event("alice:1", "alice"));
        assertThat(Shards.of("bob")).isNotEqualTo(Shards.of("alice"));
        OutboxStore.Fetched fetched = store.fetch(relay, ofSmallRows(List.of()));
        assertThat(ids(fetched.rows())).containsExactlyInAnyOrder("bob:1", "alice:1");
        assertThat(fetched.isCut()).isTrue();
        assertThat(fetched.seenUpTo()).hasSize(Shards.COUNT - 1).doesNotContainKey(Shards.of("bob"));

        List<RowKey> inFlight = fetched.rows().stream().map(OutboxRow::key).toList();
        List<OutboxRow> next = fetch(inFlight, List.of(), 500, 2_000, 2_000 * MOST);
        assertThat(ids(next)).containsExactly("bob:2", "bob:3");
        assertThat(fetched.tooLarge())
                .isEqualTo(Map.of(Shards.of("bob"), next.get(0).key().seq()));
        assertThat(next.get(0).event().value()).hasSizeGreaterThan(10 * MOST);
        assertThat(next.get(0).bytes()).isGreaterThan(10 * MOST);
    }

    @Test
    void a_shard_whose_first_row_is_too_large_is_left_whole() throws SQLException {
        publish(large("bob:1", "bob"), event("bob:2", "bob"), large("bob:3", "bob"), event("alice:1", "alice"));
        OutboxStore.Fetched fetched = store.fetch(relay, ofSmallRows(List.of()));
        assertThat(ids(fetched.rows())).containsExactly("alice:1");
        assertThat(fetched.isCut()).isTrue();
        assertThat(fetched.seenUpTo()).doesNotContainKey(Shards.of("bob"));
        assertThat(fetched.tooLarge())
                .isEqualTo(Map.of(
                        Shards.of("bob"),
                        fetch().stream()
                                .filter(row -> row.key().id().equals("bob:1"))
                                .mapToLong(row -> row.key().seq())
                                .findFirst()
                                .orElseThrow()));
    }

    @Test
    void headers_count_for_whether_a_row_is_too_large() throws SQLException {
        publish(event("evt-1", "bob").withHeader("note", "x".repeat(MOST)), event("evt-2", "bob"));
        assertThat(store.fetch(relay, ofSmallRows(List.of())))
                .matches(page -> page.rows().isEmpty() && page.isCut());
        assertThat(fetch().get(0).event().headers()).containsEntry("note", "x".repeat(MOST));
    }

    @Test
    void where_every_row_is_too_large_nothing_is_returned_and_nothing_seen() throws SQLException {
        publish(IntStream.range(0, 40)
                .mapToObj(i -> large("evt-" + i, "user-" + i))
                .toArray(Event<?>[]::new));
        OutboxStore.Fetched fetched = store.fetch(relay, ofSmallRows(List.of()));
        List<OutboxRow> all = fetch();
        assertThat(all).hasSize(40);
        assertThat(fetched.rows()).isEmpty();
        assertThat(fetched.isCut()).isTrue();
        assertThat(fetched.tooLarge())
                .containsOnlyKeys(all.stream().map(row -> row.key().shard()).toList());
        assertThat(fetched.seenUpTo())
                .doesNotContainKeys(fetched.tooLarge().keySet().toArray(Integer[]::new));
    }

    /** Read above the floors that {@code seenUpTo} allows, so that a floor above a row that was left would lose it. */
    @Test
    void pages_of_small_rows_and_of_any_return_every_row_once_and_in_order_whatever_their_sizes() throws SQLException {
        Random random = new Random(7);
        int[] sizes = IntStream.range(0, 1_500)
                .map(i -> random.nextInt(random.nextInt(20) == 0 ? 20 * MOST : MOST / 2))
                .toArray();
        publish(IntStream.range(0, 1_500)
                .mapToObj(i -> event(ASSET, "evt-" + i, "user-" + i % 50, "x".repeat(sizes[i])))
                .toArray(Event<?>[]::new));
        Map<Integer, Long> floors = new TreeMap<>();
        List<OutboxRow> read = new ArrayList<>();
        int cut = 0;
        for (boolean small = true; read.size() < 1_500; small = !small) {
            List<FetchWindow.Floor> from = IntStream.range(0, Shards.COUNT)
                    .mapToObj(shard -> new FetchWindow.Floor(shard, floors.getOrDefault(shard, Long.MIN_VALUE)))
                    .toList();
            int rows = 50 + random.nextInt(100);
            List<RowKey> inFlight = read.stream().map(OutboxRow::key).toList();
            OutboxStore.Fetched page = store.fetch(
                    relay, new FetchWindow(from, inFlight, List.of(), null, 20, rows, rows * MOST, small ? MOST : 0));
            for (OutboxRow row : page.rows()) {
                int size = sizes[Integer.parseInt(row.event().id().substring("evt-".length()))];
                assertThat(row.event().value()).as("given whole").hasSizeGreaterThan(size);
            }
            int most = small ? MOST : Integer.MAX_VALUE;
            assertThat(page.rows()).allMatch(row -> row.bytes() <= most);
            cut += page.isCut() ? 1 : 0;
            read.addAll(page.rows());
            page.seenUpTo().forEach((shard, seen) -> floors.merge(shard, seen, Math::max));
        }
        assertThat(cut).isGreaterThan(5);
        Map<Integer, Long> last = new TreeMap<>();
        assertThat(read)
                .doesNotHaveDuplicates()
                .allSatisfy(row -> assertThat(row.key().seq())
                        .isGreaterThan(Objects.requireNonNullElse(
                                last.put(row.key().shard(), row.key().seq()), Long.MIN_VALUE)));
        assertThat(fetch(read.stream().map(OutboxRow::key).toList(), List.of(), 500, 2_000, 1 << 20))
                .isEmpty();
    }

    @Test
    void a_delete_takes_exactly_the_rows_it_names() throws SQLException {
        publish(event("evt-1", "bob"), event("evt-2", "bob"), event("evt-3", "alice"));
        List<RowKey> keys = fetch().stream().map(OutboxRow::key).toList();
        RowKey stale = new RowKey(keys.get(0).shard(), keys.get(0).seq(), "another-id");
        assertThat(store.deleteNamed(relay, List.of(stale, keys.get(1))).rows()).isEqualTo(1);
        assertThat(store.deleteNamed(relay, List.of(keys.get(1))).rows()).isZero();
        assertThat(ids(fetch())).hasSize(2).doesNotContain(keys.get(1).id());
    }

    @Test
    void a_delete_of_what_was_read_takes_it_once_and_nothing_else() throws SQLException {
        publish(event("evt-1", "bob"), event("evt-2", "bob"), event("evt-3", "alice"));
        List<OutboxRow> rows = fetch();
        assertThat(store.delete(relay, rows.subList(0, 2)).rows()).isEqualTo(2);
        assertThat(store.delete(relay, rows).rows()).as("two are gone").isEqualTo(1);
        assertThat(store.delete(relay, rows).rows()).isZero();
        assertThat(fetch()).isEmpty();
    }

    @Test
    void a_delete_that_waits_for_nobody_leaves_what_is_locked_and_tells_it_from_what_is_gone() throws SQLException {
        publish(
                event("evt-1", "bob"),
                event("evt-2", "bob"),
                event("evt-3", "alice"),
                event("evt-4", "bob"),
                event("evt-5", "bob"));
        List<OutboxRow> rows = fetch();
        delete("evt-4");
        try (Connection other = connect();
                Statement lock = other.createStatement()) {
            other.setAutoCommit(false);
            RowKey second = rows.stream()
                    .map(OutboxRow::key)
                    .filter(key -> key.id().equals("evt-2"))
                    .findFirst()
                    .orElseThrow();
            lock.execute("SELECT 1 FROM %s WHERE shard = %d AND seq = %d FOR UPDATE"
                    .formatted(quoted("eventbus_outbox"), second.shard(), second.seq()));
            OutboxStore.Deleted deleted = store.deleteUnlocked(relay, rows);
            assertThat(deleted.rows()).isEqualTo(2);
            assertThat(ids(deleted.locked()))
                    .as("and what stands behind it of its key")
                    .containsExactly("evt-2", "evt-5");
            assertThat(ids(fetch())).containsExactly("evt-2", "evt-5");
            other.rollback();
        }
        OutboxStore.Deleted deleted = store.deleteUnlocked(relay, rows);
        assertThat(deleted.rows()).isEqualTo(2);
        assertThat(deleted.locked()).isEmpty();
        assertThat(relay.getAutoCommit()).isTrue();
    }

    /** As when numbers were given out again and an event was published a second time. */
    @Test
    void a_delete_of_what_was_read_leaves_a_row_that_took_its_place() throws SQLException {
        publish(event("evt-1", "bob"), event("evt-2", "bob"));
        List<OutboxRow> rows = fetch();
        OutboxRow first = rows.get(0);
        OutboxRow second = rows.get(1);
        RowKey crossed =
                new RowKey(first.key().shard(), first.key().seq(), second.key().id());
        OutboxRow other = new OutboxRow(
                crossed, first.event(), first.createdAt(), first.bytes(), first.place(), first.unreadable());
        assertThat(store.delete(relay, List.of(other)).rows()).isZero();
        assertThat(ids(fetch())).hasSize(2);
    }

    /** As when numbers were given out again and an event was published a second time. */
    @Test
    void a_delete_leaves_a_row_that_has_the_number_of_one_and_the_id_of_another() throws SQLException {
        publish(event("evt-1", "bob"), event("evt-2", "bob"));
        List<RowKey> keys = fetch().stream().map(OutboxRow::key).toList();
        RowKey first = keys.get(0);
        RowKey second = keys.get(1);
        List<RowKey> crossed = List.of(
                new RowKey(first.shard(), first.seq(), second.id()),
                new RowKey(second.shard(), second.seq(), first.id()));
        assertThat(store.count(relay, crossed)).isZero();
        assertThat(store.deleteNamed(relay, crossed).rows()).isZero();
        assertThat(store.count(relay, keys)).isEqualTo(2);
        assertThat(ids(fetch())).hasSize(2);
    }

    @Test
    void a_lease_is_taken_once_renewed_by_its_owner_and_given_back() throws SQLException {
        assertThat(claim("one"))
                .hasSize(Shards.COUNT)
                .allSatisfy((shard, epoch) -> assertThat(epoch).isEqualTo(1));
        assertThat(claim("two")).isEmpty();
        leases("two").renew(relay);
        assertThat(owned("two")).isEmpty();
        leases("one").renew(relay);
        assertThat(owned("one")).hasSize(Shards.COUNT);
        assertThat(leases("one").leases(relay))
                .extracting(LeaseStore.Lease::millisLeft)
                .allSatisfy(left -> assertThat(left).isBetween(50_000L, 60_000L));

        assertThat(leases("two").release(relay, 3, 1)).isFalse();
        assertThat(leases("one").release(relay, 3, 2)).isFalse();
        assertThat(leases("one").release(relay, 3, 1)).isTrue();
        assertThat(claim("two")).isEqualTo(Map.of(3, 2L));
        leases("one").leave(relay);
        assertThat(owned("one")).isEmpty();
        assertThat(owned("two")).isEqualTo(Map.of(3, 2L));
    }

    @Test
    void a_lease_is_locked_by_its_owner_under_its_epoch_only() throws SQLException {
        claim("one");
        assertThat(leases("one").lock(relay, 3, 1)).isTrue();
        assertThat(leases("one").lock(relay, 3, 2)).isFalse();
        assertThat(leases("two").lock(relay, 3, 1)).isFalse();
    }

    @Test
    void a_lease_that_has_run_out_is_free_and_cannot_be_renewed() throws SQLException {
        claim(relay, lapsed("dead"));
        lapsed("dead").renew(relay);
        leases("dead").renew(relay);
        assertThat(leases("dead").leases(relay)).hasSize(Shards.COUNT).allSatisfy(lease -> {
            assertThat(lease.owner()).isNull();
            assertThat(lease.millisLeft()).isZero();
            assertThat(lease.epoch()).isEqualTo(1);
        });
        assertThat(claim("successor"))
                .hasSize(Shards.COUNT)
                .allSatisfy((shard, epoch) -> assertThat(epoch).isEqualTo(2));
    }

    @Test
    void a_free_lease_is_not_taken_by_one_who_saw_it_before_somebody_else_had_it() throws SQLException {
        List<LeaseStore.Lease> seen = leases("late").leases(relay);
        claim("one");
        leases("one").leave(relay);
        for (LeaseStore.Lease lease : seen) {
            assertThat(leases("late").claim(relay, lease)).isFalse();
        }
        assertThat(owned("late")).isEmpty();
    }

    @Test
    void of_two_that_want_the_same_lease_one_gets_it() throws Exception {
        List<LeaseStore.Lease> free = leases("any").leases(relay);
        List<String> owners = IntStream.range(0, 4).mapToObj(i -> "relay-" + i).toList();
        ExecutorService relays = Executors.newFixedThreadPool(owners.size());
        List<Future<Integer>> taken = relays.invokeAll(owners.stream()
                .map(owner -> (Callable<Integer>) () -> {
                    try (Connection own = connect()) {
                        int count = 0;
                        for (LeaseStore.Lease lease : free) {
                            count += leases(owner).claim(own, lease) ? 1 : 0;
                        }
                        return count;
                    }
                })
                .toList());
        relays.shutdown();
        int all = 0;
        for (Future<Integer> one : taken) {
            all += one.get();
        }
        assertThat(all).isEqualTo(Shards.COUNT);
    }

    @Test
    void a_dead_relays_row_that_somebody_has_locked_keeps_no_other_from_its_leases() throws SQLException {
        leases("dead").renew(relay);
        String members = quoted("eventbus_relay_member");
        execute("UPDATE " + members + " SET lease_until = '2020-01-01 00:00:00'");
        relay.setNetworkTimeout(Runnable::run, 5_000);
        try (Connection console = connect();
                PreparedStatement delete =
                        console.prepareStatement(sql.names().in("DELETE FROM " + members + " WHERE owner = 'dead'"))) {
            console.setAutoCommit(false);
            delete.executeUpdate();
            leases("one").renew(relay);
            console.rollback();
        }
        assertThat(count("eventbus_relay_member")).isEqualTo(2);
        leases("one").renew(relay);
        assertThat(count("eventbus_relay_member")).isEqualTo(1);
    }

    @Test
    void relays_are_members_as_long_as_they_say_so() throws SQLException {
        leases("b").renew(relay);
        leases("a").renew(relay);
        leases("a").renew(relay);
        assertThat(leases("b").members(relay)).containsExactly("a", "b");
        lapsed("a").renew(relay);
        assertThat(leases("b").members(relay)).containsExactly("b");
        leases("b").leave(relay);
        assertThat(leases("b").members(relay)).isEmpty();
        leases("c").renew(relay);
        assertThat(count("eventbus_relay_member")).as("the dead are forgotten").isEqualTo(1);
    }

    LeaseStore leases(String owner) {
        return new LeaseStore(sql(), owner, Duration.ofSeconds(60));
    }

    /** A relay whose leases have run out the moment it takes them. */
    LeaseStore lapsed(String owner) {
        return new LeaseStore(sql(), owner, Duration.ofSeconds(-1));
    }

    /** Takes all that is free; shard and epoch of what it got. */
    Map<Integer, Long> claim(Connection connection, LeaseStore leases) throws SQLException {
        Map<Integer, Long> taken = new TreeMap<>();
        for (LeaseStore.Lease seen : leases.leases(connection)) {
            if (leases.claim(connection, seen)) {
                taken.put(seen.shard(), seen.epoch() + 1);
            }
        }
        return taken;
    }

    private Map<Integer, Long> claim(String owner) throws SQLException {
        return claim(relay, leases(owner));
    }

    Map<Integer, Long> owned(String owner) throws SQLException {
        Map<Integer, Long> owned = new TreeMap<>();
        for (LeaseStore.Lease lease : leases(owner).leases(relay)) {
            if (owner.equals(lease.owner())) {
                owned.put(lease.shard(), lease.epoch());
            }
        }
        return owned;
    }

    private long count(String table) throws SQLException {
        try (PreparedStatement query = relay.prepareStatement(sql.names().in("SELECT count(*) FROM " + quoted(table)));
                ResultSet row = query.executeQuery()) {
            row.next();
            return row.getLong(1);
        }
    }

    @Test
    void a_block_is_lifted_once_its_event_is_gone() throws SQLException {
        publish(event("evt-1", "bob"), event("evt-2", "alice"));
        claim("one");
        for (OutboxRow row : fetch()) {
            block("asset.events", row.event().key(), row.key());
        }
        assertThat(blocks().lift(relay, "one")).as("whether there are more").isFalse();
        assertThat(count("eventbus_blocked_key")).isEqualTo(2);
        delete("evt-1");
        blocks().lift(relay, "two");
        assertThat(count("eventbus_blocked_key")).as("another's").isEqualTo(2);
        blocks().lift(relay, "one");
        assertThat(count("eventbus_blocked_key")).isEqualTo(1);
        assertThat(fetch()).isEmpty();
    }

    @Test
    void a_key_that_is_blocked_again_while_old_blocks_are_lifted_stays_blocked() throws SQLException {
        publish(event("evt-1", "bob"), event("evt-2", "bob"));
        claim("one");
        RowKey first = fetch().get(0).key();
        RowKey second = fetch().get(1).key();
        block("asset.events", "bob", first);
        delete("evt-1");
        Connection slow = Decorator.of(Connection.class, (method, arguments) -> {
            if (method.getName().equals("prepareStatement")
                    && sql.admin().deleteBlockAsRead().equals(arguments[0])) {
                execute("DELETE FROM " + quoted("eventbus_blocked_key"));
                block("asset.events", "bob", second);
            }
            return method.invoke(relay, arguments);
        });
        blocks().lift(slow, "one");
        assertThat(count("eventbus_blocked_key")).isEqualTo(1);
        assertThat(fetch()).isEmpty();
    }

    private BlockedKeyStore blocks() {
        return new BlockedKeyStore(sql);
    }

    private void delete(String id) throws SQLException {
        execute("DELETE FROM " + quoted("eventbus_outbox") + " WHERE id = '" + id + "'");
    }

    private void execute(String statement) throws SQLException {
        try (PreparedStatement prepared = relay.prepareStatement(sql.names().in(statement))) {
            prepared.executeUpdate();
        }
    }

    @Test
    void a_value_is_written_once_and_the_first_stands() throws SQLException {
        assertThat(store.metaOnce(relay, "partitions.kafka.asset.events", "3")).isEqualTo("3");
        assertThat(store.metaOnce(relay, "partitions.kafka.asset.events", "6")).isEqualTo("3");
        assertThat(store.meta(relay, "none")).isNull();
        assertThat(store.meta(relay, "outbox_id")).hasSize(36);
    }

    @Test
    void their_owner_misses_each_table_that_is_not_there() throws SQLException {
        for (String table : List.of("eventbus_meta", "eventbus_key_lock", "eventbus_blocked_key")) {
            outbox().verify(relay);
            execute("DROP TABLE " + quoted(table));
            assertThatThrownBy(() -> outbox().verify(relay))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("[" + table + "]");
            outbox().createTables(relay);
        }
    }

    @Test
    void transactions_that_lock_keys_in_opposite_order_never_deadlock() throws Exception {
        int transactions = 1_000;
        ExecutorService threads = Executors.newFixedThreadPool(3);
        try {
            List<Future<Void>> lockers = Stream.of(
                            List.of("bob", "alice"), List.of("alice", "bob"), List.of("carol", "bob"))
                    .map(keys -> threads.submit(() -> lockOften(transactions, keys)))
                    .toList();
            for (Future<Void> locker : lockers) {
                locker.get(120, TimeUnit.SECONDS);
            }
        } finally {
            threads.shutdownNow();
        }
    }

    private @Nullable Void lockOften(int transactions, List<String> keys) throws SQLException {
        try (Connection tx = connect()) {
            tx.setAutoCommit(false);
            for (int i = 0; i < transactions; i++) {
                outbox().within(tx).lockKeys(keys.toArray(String[]::new));
                tx.commit();
            }
            return null;
        }
    }
}
