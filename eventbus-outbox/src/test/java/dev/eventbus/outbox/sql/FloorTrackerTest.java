package dev.eventbus.outbox.sql;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EncodedEvent;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class FloorTrackerTest {

    private static final long BEGINNING = Long.MIN_VALUE;

    private static final Duration QUICK = Duration.ofSeconds(2);
    private static final List<Integer> ALL =
            IntStream.range(0, Shards.COUNT).boxed().toList();

    private long nanos;
    private final FloorTracker floors = new FloorTracker(QUICK, () -> nanos);

    private List<Integer> planned() {
        return floors.inTurn(ALL, 0).stream().map(FetchWindow.Floor::shard).toList();
    }

    /** Plans a fetch that has no row and takes so long. Returns what it read from the beginning. */
    private List<Integer> fromTheBeginning(Duration took) {
        List<FetchWindow.Floor> plan = floors.inTurn(ALL, 0);
        Map<Integer, Long> seen = new HashMap<>();
        plan.forEach(floor -> seen.put(floor.shard(), Long.MAX_VALUE));
        floors.read(seen.keySet(), took.toNanos());
        floors.began(floors.mark(), 107);
        fetched(107, 1_000, seen);
        return plan.stream()
                .filter(floor -> floor.seq() == BEGINNING)
                .map(FetchWindow.Floor::shard)
                .toList();
    }

    private void fetched(long xmin, long head, Map<Integer, Long> seenUpTo) {
        floors.fetched(OptionalLong.of(xmin), OptionalLong.of(head), seenUpTo);
    }

    @Test
    void the_head_is_the_floor_once_every_transaction_before_a_later_one_has_ended() {
        fetched(100, 40, Map.of(3, Long.MAX_VALUE));
        floors.began(floors.mark(), 107);
        fetched(106, 50, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).as("a writer below 107 still runs").isEqualTo(BEGINNING);
        fetched(107, 60, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(40);
    }

    @Test
    void a_transaction_before_the_first_fetch_proves_nothing() {
        floors.began(floors.mark(), 107);
        fetched(200, 40, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(BEGINNING);
    }

    @Test
    void a_transaction_that_began_before_the_last_fetch_settles_only_what_was_given_out_before_it_began() {
        fetched(100, 40, Map.of());
        FloorTracker.Mark before = floors.mark();
        fetched(100, 50, Map.of()); // beside it; a writer with a later id may have been given 45
        floors.began(before, 107);
        fetched(107, 60, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(40);
    }

    @Test
    void a_transaction_that_began_before_all_was_doubted_settles_nothing() {
        fetched(100, 40, Map.of());
        FloorTracker.Mark before = floors.mark();
        floors.doubtAll();
        floors.began(before, 107);
        fetched(107, 60, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(BEGINNING);
    }

    @Test
    void a_fetch_that_was_cut_raises_the_floor_only_to_what_it_returned() {
        fetched(100, 40, Map.of());
        floors.began(floors.mark(), 107);
        fetched(107, 60, Map.of(3, 25L, 4, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(25);
        assertThat(floors.floor(4)).isEqualTo(40);
        assertThat(floors.floor(5)).as("not looked at").isEqualTo(BEGINNING);
    }

    @Test
    void once_the_head_is_settled_each_fetch_raises_the_floor_to_what_it_returned() {
        fetched(100, 1_000, Map.of(3, 20L));
        floors.began(floors.mark(), 107);
        fetched(107, 1_000, Map.of(3, 40L));
        fetched(107, 1_000, Map.of(3, 60L));
        assertThat(floors.floor(3)).isEqualTo(60);
        fetched(107, 1_200, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).as("numbers above may still be committed").isEqualTo(1_000);
    }

    @Test
    void what_is_settled_outlives_a_floor_that_is_forgotten() {
        fetched(100, 1_000, Map.of());
        floors.began(floors.mark(), 107);
        fetched(107, 1_000, Map.of(3, 40L));
        floors.forgetAll();
        fetched(107, 1_000, Map.of(3, 30L));
        assertThat(floors.floor(3)).isEqualTo(30);
    }

    @Test
    void each_shard_is_read_from_its_beginning_every_thirty_seconds_and_never_two_together() {
        fromTheBeginning(Duration.ZERO);
        fromTheBeginning(Duration.ZERO);
        Set<Integer> read = new HashSet<>();
        for (int look = 0; look < 300; look++) {
            nanos += Duration.ofMillis(100).toNanos();
            floors.doubt();
            List<Integer> doubted = fromTheBeginning(Duration.ofMillis(1));
            assertThat(doubted).hasSizeLessThanOrEqualTo(1);
            read.addAll(doubted);
        }
        assertThat(read).containsExactlyInAnyOrderElementsOf(ALL);
    }

    @Test
    void what_was_awaited_before_a_doubt_is_awaited_after_it() {
        fetched(100, 40, Map.of());
        floors.began(floors.mark(), 107);
        nanos += Duration.ofSeconds(30).toNanos();
        floors.doubt();
        assertThat(floors.awaited()).isEqualTo(107);
    }

    @Test
    void who_has_not_looked_for_long_doubts_one_shard_at_a_time_all_the_same() {
        fromTheBeginning(Duration.ZERO);
        fromTheBeginning(Duration.ZERO);
        nanos += Duration.ofHours(1).toNanos();
        floors.doubt();
        floors.doubt();
        assertThat(fromTheBeginning(Duration.ZERO)).hasSize(1);
    }

    @Test
    void no_floor_is_forgotten_while_shards_wait_to_be_read() {
        floors.reset();
        Set<Integer> read = new HashSet<>();
        for (int look = 0; look < Shards.COUNT; look++) { // each takes longer than a shard's turn
            nanos += Duration.ofSeconds(3).toNanos();
            floors.doubt();
            List<Integer> next = fromTheBeginning(Duration.ofSeconds(3));
            assertThat(next).hasSize(1);
            read.addAll(next);
        }
        assertThat(read).containsExactlyInAnyOrderElementsOf(ALL);
        assertThat(planned()).as("each that has a floor, and one more").hasSize(Shards.COUNT);
    }

    @Test
    void after_a_new_connection_one_shard_is_read_from_its_beginning_then_two_then_four() {
        floors.reset();
        List<Integer> sizes = new ArrayList<>();
        Set<Integer> read = new HashSet<>();
        while (read.size() < Shards.COUNT) {
            assertThat(sizes).as("it comes to an end").hasSizeLessThan(10);
            List<Integer> next = fromTheBeginning(Duration.ofMillis(1));
            sizes.add(next.size());
            read.addAll(next);
        }
        assertThat(sizes).startsWith(1, 2, 4);
        assertThat(floors.leavesSome()).isFalse();
    }

    @Test
    void while_that_is_slow_it_stays_with_one_and_the_others_are_read_beside_it() {
        floors.reset();
        Set<Integer> read = new HashSet<>();
        for (int look = 0; look < Shards.COUNT; look++) {
            List<Integer> next = fromTheBeginning(Duration.ofSeconds(3));
            assertThat(next).hasSize(1);
            read.addAll(next);
            assertThat(floors.leavesSome()).isTrue();
        }
        assertThat(read).hasSize(Shards.COUNT);
        assertThat(planned()).as("each that has a floor, and one more").hasSize(Shards.COUNT);
    }

    @Test
    void a_read_in_which_the_connection_was_lost_is_not_the_first_after_it() {
        floors.reset();
        List<Integer> first = planned();
        floors.reset();
        assertThat(first).hasSize(1);
        assertThat(planned()).hasSize(1).isNotEqualTo(first);
    }

    /** A search in a fetch of its own that takes so long and finds nothing, or an event in some shard. Returns where it looked. */
    private List<Integer> search(Duration took, int hit) {
        floors.searchOnly(Set.of("asset.events"));
        List<FetchWindow.Floor> here = floors.search("asset.events", ALL);
        nanos += took.toNanos();
        letIn = !here.isEmpty() && floors.searched("asset.events", here, ALL, found(hit));
        return here.stream().map(FetchWindow.Floor::shard).toList();
    }

    private boolean letIn;

    private static OutboxStore.Fetched found(int shard) {
        EncodedEvent event = new EncodedEvent(
                "evt-1", "T", "asset.events", "key", new byte[0], "application/json", null, null, Map.of());
        List<OutboxRow> rows = shard < 0
                ? List.of()
                : List.of(new OutboxRow(new RowKey(shard, 1, "evt-1"), event, Instant.EPOCH, 0, "", ""));
        return new OutboxStore.Fetched(rows, Map.of(), 0, false, Map.of(), OptionalLong.empty(), OptionalLong.empty());
    }

    @Test
    void an_event_of_a_topic_is_looked_for_in_few_shards_too_and_in_each_once() {
        floors.reset();
        List<Integer> searched = new ArrayList<>();
        for (int look = 0; look < Shards.COUNT; look++) {
            assertThat(letIn).isFalse();
            List<Integer> here = search(QUICK, -1);
            assertThat(here).hasSize(1);
            searched.addAll(here);
        }
        assertThat(letIn).isTrue();
        assertThat(searched).containsExactlyInAnyOrderElementsOf(ALL);
    }

    @Test
    void a_search_that_was_quick_goes_on_in_more_shards_and_a_slow_one_in_fewer() {
        floors.reset();
        assertThat(search(Duration.ofMillis(1), -1)).containsExactly(0);
        assertThat(search(Duration.ofMillis(1), -1)).containsExactly(1, 2);
        assertThat(search(QUICK.multipliedBy(4), -1)).containsExactly(3, 4, 5, 6);
        assertThat(search(Duration.ofMillis(1), -1)).containsExactly(7);
    }

    @Test
    void a_search_that_found_its_event_begins_there_the_next_time_and_tells_of_what_it_has_passed_only() {
        floors.reset();
        search(Duration.ofMillis(1), -1);
        search(Duration.ofMillis(1), -1);
        assertThat(search(QUICK.multipliedBy(2), 5))
                .as("three of them were passed")
                .containsExactly(3, 4, 5, 6);
        assertThat(letIn).isFalse();
        assertThat(search(Duration.ofMillis(1), 5)).containsExactly(5);
    }

    @Test
    void the_search_of_several_topics_takes_no_longer_than_a_quick_fetch_and_one_look() {
        Set<String> topics = Set.of("asset.events", "house.events", "user.events");
        floors.searchOnly(topics);
        for (String topic : List.of("asset.events", "house.events")) {
            List<FetchWindow.Floor> here = floors.search(topic, ALL);
            nanos += QUICK.toNanos() / 2;
            floors.searched(topic, here, ALL, found(-1));
        }
        assertThat(floors.search("user.events", ALL)).isEmpty();
        floors.searchOnly(topics);
        assertThat(floors.search("user.events", ALL)).as("in the next fetch").isNotEmpty();
    }

    @Test
    void after_a_search_in_which_the_connection_was_lost_the_others_are_read_first() {
        floors.searchOnly(Set.of("asset.events"));
        floors.search("asset.events", ALL);
        floors.reset();
        assertThat(search(Duration.ofMillis(1), -1)).isEmpty();
        assertThat(search(Duration.ofMillis(1), -1)).hasSize(1);
    }

    @Test
    void floors_rise_above_what_is_left_out_until_further_notice_and_are_forgotten_when_it_is_not() {
        floors.leaveOut(Set.of("asset.events"));
        fetched(100, 40, Map.of());
        floors.began(floors.mark(), 107);
        fetched(107, 41, Map.of(0, 10L));
        assertThat(floors.leaveOut(Set.of("asset.events", "house.events"))).hasSize(2);
        assertThat(floors.floor(0)).isGreaterThan(BEGINNING);
        floors.leaveOut(Set.of("house.events"));
        assertThat(floors.floor(0)).isEqualTo(BEGINNING);
    }

    @Test
    void a_transaction_is_lacking_while_the_last_head_is_neither_settled_nor_waited_for() {
        assertThat(floors.lacksTransaction()).as("no head yet").isFalse();
        fetched(100, 40, Map.of());
        assertThat(floors.lacksTransaction()).isTrue();
        floors.began(floors.mark(), 107);
        assertThat(floors.lacksTransaction()).as("waited for").isFalse();
        fetched(107, 40, Map.of());
        assertThat(floors.lacksTransaction()).as("settled").isFalse();
        fetched(107, 41, Map.of());
        assertThat(floors.lacksTransaction()).isTrue();
    }

    @Test
    void a_later_transaction_does_not_put_the_proof_off() {
        fetched(100, 40, Map.of());
        floors.began(floors.mark(), 107);
        fetched(105, 50, Map.of(3, Long.MAX_VALUE));
        floors.began(floors.mark(), 120);
        fetched(107, 60, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(40);
    }

    @Test
    void a_floor_never_falls_unless_it_is_forgotten() {
        fetched(100, 40, Map.of());
        floors.began(floors.mark(), 101);
        fetched(101, 60, Map.of(3, Long.MAX_VALUE, 4, Long.MAX_VALUE));
        floors.began(floors.mark(), 102);
        fetched(102, 70, Map.of(3, 10L));
        assertThat(floors.floor(3)).isEqualTo(40);
        floors.forget(3);
        assertThat(floors.floor(3)).isEqualTo(BEGINNING);
        assertThat(floors.floor(4)).isEqualTo(40);
    }

    @Test
    void a_head_that_falls_makes_every_number_worthless() {
        fetched(100, 40, Map.of());
        floors.began(floors.mark(), 101);
        fetched(101, 60, Map.of(3, Long.MAX_VALUE));
        fetched(102, 5, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).as("numbers are given out again").isEqualTo(BEGINNING);
        fetched(102, 6, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).as("nothing is settled any more").isEqualTo(BEGINNING);
    }

    @Test
    void a_new_connection_makes_every_number_worthless() {
        fetched(100, 40, Map.of());
        floors.began(floors.mark(), 107);
        floors.reset();
        fetched(500, 60, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(BEGINNING);
    }

    @Test
    void a_database_without_such_numbers_has_no_floor() {
        floors.fetched(OptionalLong.empty(), OptionalLong.empty(), Map.of(3, Long.MAX_VALUE));
        floors.began(floors.mark(), 0);
        floors.fetched(OptionalLong.empty(), OptionalLong.empty(), Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(BEGINNING);
    }
}
