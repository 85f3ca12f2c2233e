package dev.eventbus.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.outbox.sql.H2OutboxSql;
import dev.eventbus.outbox.sql.LeaseStore;
import dev.eventbus.outbox.sql.OutboxSql;
import dev.eventbus.outbox.sql.Shards;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Relays that even out their shards, step by step, on a local clock that the test moves. */
class ShardLeasesTest {

    private static final Duration LEASE = Duration.ofSeconds(10);

    private final TestDatabase database = new TestDatabase();
    private long nanos;
    private boolean passesOver = true;
    private Connection connection;

    @BeforeEach
    void open() throws SQLException {
        connection = database.dataSource.getConnection();
    }

    @AfterEach
    void close() throws SQLException {
        connection.close();
    }

    private ShardLeases relay(String owner) {
        return new ShardLeases(
                new LeaseStore(new H2OutboxSql(database.outbox.names()), owner, LEASE), LEASE, () -> nanos);
    }

    /** A relay to which the database passes over one lease, as if somebody had locked its row. */
    private ShardLeases relayWithout(int shard) {
        return relayWithout(shard, "one");
    }

    private ShardLeases relayWithout(int shard, String owner) {
        OutboxSql h2 = new H2OutboxSql(database.outbox.names());
        OutboxSql without = (OutboxSql) Proxy.newProxyInstance(
                OutboxSql.class.getClassLoader(),
                new Class<?>[] {OutboxSql.class},
                (proxy, method, arguments) -> method.getName().equals("claimLease") && passesOver
                        ? h2.claimLease() + " AND shard <> " + shard
                        : method.invoke(h2, arguments));
        return new ShardLeases(new LeaseStore(without, owner, LEASE), LEASE, () -> nanos);
    }

    private ShardLeases.Change tick(ShardLeases relay) throws SQLException {
        relay.checkSoon();
        return relay.tick(connection);
    }

    /** A tick of a relay of which nothing is in flight. */
    private void evenOut(ShardLeases... relays) throws SQLException {
        for (ShardLeases relay : relays) {
            tick(relay);
            for (int shard : relay.leaving()) {
                relay.release(connection, shard);
            }
        }
    }

    private void pass(Duration time) {
        nanos += time.toNanos();
    }

    /** As if a relay had died so long ago that its leases run for only so much longer. */
    private void died(String owner, Duration left) {
        database.update(
                "UPDATE \"eventbus_relay_lease\" SET lease_until = DATEADD('MILLISECOND', %d, CURRENT_TIMESTAMP) WHERE owner = '%s'"
                        .formatted(left.toMillis(), owner));
        database.update(
                "UPDATE \"eventbus_relay_member\" SET lease_until = DATEADD('MILLISECOND', %d, CURRENT_TIMESTAMP) WHERE owner = '%s'"
                        .formatted(left.toMillis(), owner));
    }

    @Test
    void the_only_relay_owns_everything_after_its_first_tick() throws SQLException {
        ShardLeases one = relay("one");
        ShardLeases.Change change = one.tick(connection);
        assertThat(change.gained()).hasSize(Shards.COUNT);
        assertThat(one.readable()).hasSize(Shards.COUNT);
        assertThat(one.areValid()).isTrue();
    }

    @Test
    void shares_add_up_and_differ_by_at_most_one() {
        for (int count = 1; count <= Shards.COUNT + 4; count++) {
            SortedSet<String> alive = new TreeSet<>();
            IntStream.range(0, count).forEach(i -> alive.add("relay-" + i));
            int[] shares = alive.stream()
                    .mapToInt(owner -> ShardLeases.share(alive, owner))
                    .toArray();
            assertThat(IntStream.of(shares).sum()).isEqualTo(Shards.COUNT);
            assertThat(IntStream.of(shares).max().orElseThrow()
                            - IntStream.of(shares).min().orElseThrow())
                    .isLessThanOrEqualTo(1);
        }
    }

    @Test
    void one_that_joins_has_its_share_after_two_ticks() throws SQLException {
        ShardLeases one = relay("one");
        ShardLeases two = relay("two");
        ShardLeases three = relay("three");
        evenOut(one);
        evenOut(two, one, two);
        assertThat(one.owned()).hasSize(8);
        assertThat(two.owned()).hasSize(8).doesNotContainAnyElementsOf(one.owned());

        evenOut(three, one, two, three);
        assertThat(one.owned()).hasSize(6);
        assertThat(three.owned()).hasSize(5);
        assertThat(two.owned()).hasSize(5);
        Set<Integer> all = new TreeSet<>(one.owned());
        all.addAll(two.owned());
        all.addAll(three.owned());
        assertThat(all).hasSize(Shards.COUNT);
        for (ShardLeases each : List.of(one, two, three)) {
            assertThat(each.readable()).as("nobody reads what is another's").isEqualTo(each.owned());
        }
        assertThat(tick(one).any()).as("it stays so").isFalse();
    }

    @Test
    void more_relays_than_shards_leave_some_without() throws SQLException {
        ShardLeases first = relay("first");
        evenOut(first);
        for (int i = 0; i < Shards.COUNT; i++) {
            evenOut(relay("late-" + (char) ('a' + i)));
        }
        evenOut(first);
        assertThat(first.relays()).isEqualTo(Shards.COUNT + 1);
        assertThat(first.owned()).hasSize(1);
    }

    @Test
    void a_shard_that_is_not_drained_stays_owned_and_is_read_no_more() throws SQLException {
        ShardLeases one = relay("one");
        ShardLeases two = relay("two");
        tick(one);
        tick(two);
        assertThat(tick(one).leaving()).hasSize(8).isEqualTo(one.leaving());
        assertThat(one.owned()).hasSize(Shards.COUNT);
        assertThat(one.readable()).hasSize(8).doesNotContainAnyElementsOf(one.leaving());
        assertThat(tick(two).gained()).isEmpty();

        one.release(connection, 15);
        assertThat(tick(one).leaving()).as("begins to leave").isEmpty();
        assertThat(one.leaving()).hasSize(7).doesNotContain(15);
        assertThat(tick(two).gained()).containsExactly(15);
    }

    @Test
    void one_that_goes_away_during_a_drain_leaves_the_shards_where_they_are() throws SQLException {
        ShardLeases one = relay("one");
        ShardLeases two = relay("two");
        tick(one);
        tick(two);
        Set<Integer> leaving = tick(one).leaving();
        two.leave(connection);
        ShardLeases.Change change = tick(one);
        assertThat(change.gained())
                .as("to be read from the beginning: what waited was taken back")
                .isEqualTo(leaving);
        assertThat(change.lost()).isEmpty();
        assertThat(one.readable()).hasSize(Shards.COUNT);
    }

    @Test
    void a_drain_is_overdue_after_five_seconds() throws SQLException {
        ShardLeases one = relay("one");
        tick(one);
        tick(relay("two"));
        tick(one);
        pass(Duration.ofMillis(4_900));
        assertThat(one.isDrainOverdue(15)).isFalse();
        pass(Duration.ofMillis(200));
        assertThat(one.isDrainOverdue(15)).isTrue();
        assertThat(one.isDrainOverdue(0)).as("it stays").isFalse();
    }

    @Test
    void one_that_leaves_is_succeeded_at_the_next_tick() throws SQLException {
        ShardLeases one = relay("one");
        ShardLeases two = relay("two");
        evenOut(one, two, one, two);
        two.leave(connection);
        assertThat(tick(one).gained()).hasSize(8);
        assertThat(one.relays()).isEqualTo(1);
    }

    @Test
    void the_dead_are_succeeded_when_their_leases_run_out_and_not_before() throws SQLException {
        ShardLeases one = relay("one");
        evenOut(one, relay("two"), one);
        ShardLeases two = relay("two");
        evenOut(two, one);
        assertThat(two.owned()).hasSize(8);

        died("two", Duration.ofMillis(500));
        assertThat(tick(one).any()).isFalse();
        pass(Duration.ofMillis(400));
        assertThat(one.isDue()).isFalse();
        pass(Duration.ofMillis(110));
        assertThat(one.isDue()).as("it looks when the lease runs out").isTrue();
        died("two", Duration.ofMillis(-1));
        assertThat(tick(one).gained()).hasSize(8);
        assertThat(database.strings("SELECT owner FROM \"eventbus_relay_member\""))
                .containsExactly("one");
    }

    @Test
    void ticks_come_three_times_a_lease_and_more_often_while_a_share_is_missing() throws SQLException {
        ShardLeases one = relay("one");
        ShardLeases two = relay("two");
        one.tick(connection);
        pass(Duration.ofMillis(2_990));
        assertThat(one.isDue()).isFalse();
        pass(Duration.ofMillis(20));
        assertThat(one.isDue()).isTrue();
        tick(two);
        pass(Duration.ofMillis(510));
        assertThat(two.isDue()).isTrue();
    }

    @Test
    void a_lease_taken_by_another_is_lost_even_if_it_comes_back_at_once() throws SQLException {
        ShardLeases one = relay("one");
        tick(one);
        database.update("UPDATE \"eventbus_relay_lease\" SET epoch = epoch + 1, owner = NULL WHERE shard = 3");
        ShardLeases.Change change = tick(one);
        assertThat(change.lost()).containsExactly(3);
        assertThat(change.gained()).containsExactly(3);
    }

    @Test
    void a_free_shard_that_cannot_be_taken_for_a_lease_is_told_until_it_is_taken() throws SQLException {
        ShardLeases one = relayWithout(7);
        assertThat(tick(one).gained()).hasSize(Shards.COUNT - 1).doesNotContain(7);
        pass(Duration.ofSeconds(5));
        tick(one);
        assertThat(one.problems()).as("perhaps another was merely faster").isEmpty();
        pass(Duration.ofSeconds(5));
        tick(one);
        assertThat(one.problems()).singleElement().asString().contains("[7]", "eventbus_relay_lease", "end it");
        passesOver = false;
        assertThat(tick(one).gained()).containsExactly(7);
        assertThat(one.problems()).isEmpty();
    }

    @Test
    void nor_is_it_told_once_another_has_it() throws SQLException {
        ShardLeases one = relayWithout(7);
        tick(one);
        pass(Duration.ofSeconds(11));
        tick(one);
        assertThat(one.problems()).hasSize(1);
        database.update(
                "UPDATE \"eventbus_relay_lease\" SET owner = 'other', lease_until = DATEADD('HOUR', 1, CURRENT_TIMESTAMP) WHERE shard = 7");
        tick(one);
        assertThat(one.problems()).isEmpty();
    }

    @Test
    void leases_that_could_not_be_renewed_are_given_up_a_fifth_before_they_run_out() throws SQLException {
        ShardLeases one = relay("one");
        tick(one);
        pass(Duration.ofMillis(7_900));
        assertThat(one.areValid()).isTrue();
        assertThat(one.giveUpIfOverdue()).isFalse();
        pass(Duration.ofMillis(200));
        assertThat(one.areValid()).isFalse();
        assertThat(one.giveUpIfOverdue()).isTrue();
        assertThat(one.owned()).isEmpty();
        assertThat(tick(one).gained()).as("nobody had taken them").hasSize(Shards.COUNT);
    }

    @Test
    void a_lease_beyond_any_relays_is_told_if_its_owner_does_not_set_it_right() throws SQLException {
        ShardLeases one = relay("one");
        database.update(
                "UPDATE \"eventbus_relay_lease\" SET owner = 'dead', lease_until = DATEADD('HOUR', 1, CURRENT_TIMESTAMP)");
        tick(one);
        assertThat(one.problems()).as("its owner may be about to renew it").isEmpty();
        assertThat(one.lackShards()).isFalse();
        pass(LEASE);
        died("dead", Duration.ofHours(1).minus(LEASE));
        tick(one);
        assertThat(one.problems()).singleElement().asString().contains("clock went back", "dead");
        assertThat(one.lackShards()).isTrue();
        database.update("UPDATE \"eventbus_relay_lease\" SET owner = NULL, lease_until = NULL");
        tick(one);
        assertThat(one.problems()).isEmpty();
        assertThat(one.owned()).hasSize(Shards.COUNT);
    }

    @Test
    void a_lease_is_beyond_any_relays_too_if_it_runs_for_minutes_and_is_not_renewed() throws SQLException {
        ShardLeases one = relay("one");
        evenOut(one, relay("two"), one);
        evenOut(relay("two"), one);
        died("two", Duration.ofMinutes(4));
        tick(one);
        pass(Duration.ofMinutes(2));
        died("two", Duration.ofMinutes(2));
        tick(one);
        assertThat(one.problems()).singleElement().asString().contains("clock went back", "[two]");
        assertThat(one.lackShards()).isTrue();
    }

    @Test
    void nor_is_it_told_of_an_owner_that_renews_it_though_it_takes_it_for_longer() throws SQLException {
        ShardLeases one = relay("one");
        evenOut(one, relay("two"), one);
        evenOut(relay("two"), one);
        Duration theirs = Duration.ofMinutes(1);
        for (int second = 0; second < 60; second += 3) {
            died("two", theirs.minusSeconds(second % 18));
            tick(one);
            assertThat(one.problems()).isEmpty();
            pass(Duration.ofSeconds(3));
        }
        assertThat(one.lackShards()).isFalse();
    }

    @Test
    void a_shard_that_another_cannot_take_is_for_that_one_to_tell() throws SQLException {
        ShardLeases one = relayWithout(7);
        ShardLeases two = relayWithout(7, "two");
        evenOut(one, two, one, two, one);
        assertThat(one.owned()).hasSize(8).doesNotContain(7);
        assertThat(two.owned()).hasSize(7).doesNotContain(7);
        pass(LEASE);
        evenOut(two, one);
        assertThat(two.problems()).singleElement().asString().contains("holds the lock");
        assertThat(one.problems()).isEmpty();
        assertThat(one.lackShards()).isFalse();
    }

    @Test
    void a_share_that_its_relay_does_not_take_for_a_lease_is_told() throws SQLException {
        database.update("INSERT INTO \"eventbus_relay_member\" VALUES ('dead', DATEADD('HOUR', 5, CURRENT_TIMESTAMP))");
        ShardLeases one = relay("one");
        tick(one);
        assertThat(one.owned()).hasSize(8);
        assertThat(one.problems()).as("it may be about to take them").isEmpty();
        pass(LEASE);
        tick(one);
        assertThat(one.problems())
                .singleElement()
                .asString()
                .contains("[8, 9, 10, 11, 12, 13, 14, 15]", "[dead]", "eventbus_relay_member");
        assertThat(one.lackShards()).isTrue();
        database.update("DELETE FROM \"eventbus_relay_member\" WHERE owner = 'dead'");
        tick(one);
        assertThat(one.problems()).isEmpty();
        assertThat(one.owned()).hasSize(Shards.COUNT);
    }

    @Test
    void a_relay_that_may_not_touch_the_leases_counts_for_nobody() throws SQLException {
        ShardLeases one = relay("one");
        evenOut(one);
        OutboxSql h2 = new H2OutboxSql(database.outbox.names());
        OutboxSql refused = (OutboxSql) Proxy.newProxyInstance(
                OutboxSql.class.getClassLoader(),
                new Class<?>[] {OutboxSql.class},
                (proxy, method, arguments) -> method.getName().equals("renewLeases")
                        ? "UPDATE none SET a = 1"
                        : method.invoke(h2, arguments));
        ShardLeases two = new ShardLeases(new LeaseStore(refused, "two", LEASE), LEASE, () -> nanos);
        assertThatThrownBy(() -> tick(two)).isInstanceOf(SQLException.class);
        evenOut(one);
        assertThat(one.owned()).hasSize(Shards.COUNT);
    }

    @Test
    void rows_that_are_gone_are_told() throws SQLException {
        ShardLeases one = relay("one");
        tick(one);
        database.update("DELETE FROM \"eventbus_relay_lease\" WHERE shard = 3");
        tick(one);
        assertThat(one.problems()).singleElement().asString().contains("rows for 15 of 16 shards");
        assertThat(one.lackShards()).isTrue();
    }
}
