package dev.eventbus.consumer.internal;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.internal.DrainLoop.Lent;
import dev.eventbus.consumer.internal.DrainLoop.Turn;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkedKey.State;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Whose turn it is, on an executor that runs what the test says. */
class DrainTurnsTest {

    private static final Instant NOON = Instant.parse("2030-01-01T12:00:00Z");

    private final Deque<Runnable> executor = new ArrayDeque<>();
    private final List<String> drained = new ArrayList<>();
    private final AtomicInteger rooms = new AtomicInteger();
    private final List<Integer> foundDue = new ArrayList<>();
    private final DrainTurns turns = new DrainTurns(
            "calculator",
            new Lent(() -> NOON, executor::add, e -> {}),
            key -> {
                String name = new String(key.key(), UTF_8);
                drained.add(name);
                if (name.startsWith("soon")) {
                    this.turns.dueAt(key, NOON);
                }
                return new Turn(1, name.startsWith("hot"));
            },
            rooms::incrementAndGet,
            due -> foundDue.add(this.turns.give(List.of(key("soon")))));

    private static ParkedKey key(String name) {
        return new ParkedKey("asset.events", name.getBytes(UTF_8), State.REDRIVE, "NO_LUCK", NOON, 0, NOON, 1, 0);
    }

    private static List<ParkedKey> keys(String prefix, int count) {
        return IntStream.range(0, count).mapToObj(n -> key(prefix + n)).toList();
    }

    /** As the executor and the looking thread do. */
    private void runAll() {
        for (int n = 0; n < 1_000 && !executor.isEmpty(); n++) {
            executor.remove().run();
            if (rooms.getAndSet(0) > 0) {
                turns.fill();
            }
        }
    }

    @Test
    void a_key_that_is_soon_due_again_is_said_to_be_once_it_has_no_turn_any_more() {
        turns.give(List.of(key("soon")));
        executor.remove().run();
        assertThat(foundDue).as("the look has a turn for it").containsExactly(1);
    }

    @Test
    void of_many_short_keys_each_that_ends_makes_room_for_the_next_without_another_look() {
        assertThat(turns.give(keys("bob", 100))).isEqualTo(DrainLoop.MOST_AT_ONCE);
        assertThat(executor).hasSize(DrainLoop.MOST_AT_ONCE);
        runAll();
        assertThat(drained).hasSize(100).doesNotHaveDuplicates();
        assertThat(turns.isIdle()).isTrue();
    }

    @Test
    void keys_that_are_never_empty_take_turns_with_the_others() {
        List<ParkedKey> all = new ArrayList<>(keys("hot", DrainLoop.MOST_AT_ONCE));
        all.addAll(keys("bob", 3));
        turns.give(all);
        runAll();
        assertThat(drained.subList(0, 11)).contains("bob0", "bob1", "bob2").contains("hot0", "hot1", "hot2", "hot3");
        turns.give(all); // another look finds all of them again, in the order of the database
        assertThat(drained).filteredOn(name -> name.startsWith("hot")).hasSizeGreaterThan(100);
    }

    @Test
    void after_a_look_those_come_first_that_have_waited_longest() {
        List<ParkedKey> all = keys("bob", 8);
        turns.give(all);
        drained.clear();
        turns.give(List.of(all.get(7), key("new"), all.get(4)));
        runAll();
        assertThat(drained).containsExactly("bob0", "bob1", "bob2", "bob3", "bob4", "bob7", "new");
    }

    @Test
    void a_key_whose_turns_are_dropped_gets_another_every_minute_however_long_that_goes_on() {
        turns.give(keys("bob", 1));
        int given = 0;
        for (int seconds = 1; seconds <= 24 * 60 * 60; seconds++) {
            executor.clear(); // as an executor that drops tasks does
            turns.giveAgain(NOON.plusSeconds(seconds));
            given += executor.size();
        }
        assertThat(given).isBetween(24 * 60 - 3, 24 * 60 + 3);
        turns.giveAgain(NOON.plus(Duration.ofDays(2)));
        runAll();
        assertThat(drained).containsExactly("bob0");
    }

    @Test
    void after_the_clock_was_set_back_a_key_whose_turn_was_dropped_gets_another_by_the_new_time() {
        turns.give(keys("bob", 1));
        executor.clear();
        Instant morning = NOON.minusSeconds(3_600);
        turns.giveAgain(morning);
        turns.giveAgain(morning.plus(WorkerCalls.GIVEN_UP_AFTER));
        runAll();
        assertThat(drained).containsExactly("bob0");
    }

    @Test
    void where_nothing_may_begin_any_more_nothing_does() {
        turns.give(keys("bob", 8));
        turns.stop();
        runAll();
        assertThat(drained).isEmpty();
    }
}
