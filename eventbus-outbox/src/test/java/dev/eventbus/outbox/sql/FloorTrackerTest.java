package dev.eventbus.outbox.sql;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

class FloorTrackerTest {

    private static final long BEGINNING = Long.MIN_VALUE;

    private final FloorTracker floors = new FloorTracker();

    private void fetched(long xmin, long head, Map<Integer, Long> seenUpTo) {
        floors.fetched(OptionalLong.of(xmin), OptionalLong.of(head), seenUpTo);
    }

    @Test
    void the_head_is_the_floor_once_every_transaction_before_a_later_one_has_ended() {
        fetched(100, 40, Map.of(3, Long.MAX_VALUE));
        floors.began(107);
        fetched(106, 50, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).as("a writer below 107 still runs").isEqualTo(BEGINNING);
        fetched(107, 60, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(40);
    }

    @Test
    void a_transaction_before_the_first_fetch_proves_nothing() {
        floors.began(107);
        fetched(200, 40, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(BEGINNING);
    }

    @Test
    void a_fetch_that_was_cut_raises_the_floor_only_to_what_it_returned() {
        fetched(100, 40, Map.of());
        floors.began(107);
        fetched(107, 60, Map.of(3, 25L, 4, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(25);
        assertThat(floors.floor(4)).isEqualTo(40);
        assertThat(floors.floor(5)).as("not looked at").isEqualTo(BEGINNING);
    }

    @Test
    void once_the_head_is_settled_each_fetch_raises_the_floor_to_what_it_returned() {
        fetched(100, 1_000, Map.of(3, 20L));
        floors.began(107);
        fetched(107, 1_000, Map.of(3, 40L));
        fetched(107, 1_000, Map.of(3, 60L));
        assertThat(floors.floor(3)).isEqualTo(60);
        fetched(107, 1_200, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).as("numbers above may still be committed").isEqualTo(1_000);
    }

    @Test
    void what_is_settled_outlives_a_floor_that_is_forgotten() {
        fetched(100, 1_000, Map.of());
        floors.began(107);
        fetched(107, 1_000, Map.of(3, 40L));
        floors.forgetAll();
        fetched(107, 1_000, Map.of(3, 30L));
        assertThat(floors.floor(3)).isEqualTo(30);
    }

    @Test
    void who_doubts_what_is_settled_waits_for_another_proof() {
        fetched(100, 1_000, Map.of());
        floors.began(107);
        fetched(107, 1_000, Map.of(3, 40L));
        floors.doubtAll();
        fetched(107, 1_000, Map.of(3, 40L));
        assertThat(floors.floor(3)).isEqualTo(BEGINNING);
        floors.began(108);
        fetched(108, 1_000, Map.of(3, 50L));
        assertThat(floors.floor(3)).isEqualTo(50);
    }

    @Test
    void a_transaction_is_lacking_while_the_last_head_is_neither_settled_nor_waited_for() {
        assertThat(floors.lacksTransaction()).as("no head yet").isFalse();
        fetched(100, 40, Map.of());
        assertThat(floors.lacksTransaction()).isTrue();
        floors.began(107);
        assertThat(floors.lacksTransaction()).as("waited for").isFalse();
        fetched(107, 40, Map.of());
        assertThat(floors.lacksTransaction()).as("settled").isFalse();
        fetched(107, 41, Map.of());
        assertThat(floors.lacksTransaction()).isTrue();
    }

    @Test
    void a_later_transaction_does_not_put_the_proof_off() {
        fetched(100, 40, Map.of());
        floors.began(107);
        fetched(105, 50, Map.of(3, Long.MAX_VALUE));
        floors.began(120);
        fetched(107, 60, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(40);
    }

    @Test
    void a_floor_never_falls_unless_it_is_forgotten() {
        fetched(100, 40, Map.of());
        floors.began(101);
        fetched(101, 60, Map.of(3, Long.MAX_VALUE, 4, Long.MAX_VALUE));
        floors.began(102);
        fetched(102, 70, Map.of(3, 10L));
        assertThat(floors.floor(3)).isEqualTo(40);
        floors.forget(3);
        assertThat(floors.floor(3)).isEqualTo(BEGINNING);
        assertThat(floors.floor(4)).isEqualTo(40);
    }

    @Test
    void a_head_that_falls_makes_every_number_worthless() {
        fetched(100, 40, Map.of());
        floors.began(101);
        fetched(101, 60, Map.of(3, Long.MAX_VALUE));
        fetched(102, 5, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).as("numbers are given out again").isEqualTo(BEGINNING);
        fetched(102, 6, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).as("nothing is settled any more").isEqualTo(BEGINNING);
    }

    @Test
    void a_new_connection_makes_every_number_worthless() {
        fetched(100, 40, Map.of());
        floors.began(107);
        floors.reset();
        fetched(500, 60, Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(BEGINNING);
    }

    @Test
    void a_database_without_such_numbers_has_no_floor() {
        floors.fetched(OptionalLong.empty(), OptionalLong.empty(), Map.of(3, Long.MAX_VALUE));
        floors.began(0);
        floors.fetched(OptionalLong.empty(), OptionalLong.empty(), Map.of(3, Long.MAX_VALUE));
        assertThat(floors.floor(3)).isEqualTo(BEGINNING);
    }
}
