package dev.eventbus.consumer.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** Invariant I1, and the properties of the window, against a model that is too simple to be wrong. */
class OffsetTrackerTest {

    private static final int SEEDS = 10_000;
    private static final int STEPS = 300;

    private final OffsetTracker tracker = new OffsetTracker();

    @Test
    void has_nothing_to_commit_before_the_first_record() {
        assertThat(tracker.committable()).isEqualTo(OffsetTracker.NOTHING);
        assertThat(tracker.span()).isZero();
    }

    @Test
    void commits_only_up_to_the_first_unfinished_offset() {
        long five = tracker.add(5);
        long six = tracker.add(6);
        tracker.add(7);

        tracker.ended(six);
        assertThat(tracker.committable()).isEqualTo(5);

        tracker.ended(five);
        assertThat(tracker.committable()).isEqualTo(7);
        assertThat(tracker.span()).isEqualTo(1);
    }

    @Test
    void offsets_that_no_record_was_handed_out_for_hold_nothing_up() {
        long first = tracker.add(10);
        long afterAGapOfBillions = tracker.add(4_000_000_000L);

        tracker.ended(first);
        assertThat(tracker.committable()).isEqualTo(4_000_000_000L);
        tracker.ended(afterAGapOfBillions);
        assertThat(tracker.committable()).isEqualTo(4_000_000_001L);
    }

    @Test
    void a_transaction_marker_behind_the_last_record_is_passed() {
        long only = tracker.add(3);
        tracker.reached(5);
        assertThat(tracker.committable()).isEqualTo(3);

        tracker.ended(only);
        assertThat(tracker.committable()).isEqualTo(5);
    }

    @Test
    void a_partition_with_nothing_but_markers_can_be_committed_too() {
        tracker.reached(2);
        assertThat(tracker.committable()).isEqualTo(2);
    }

    @Test
    void a_record_ends_once() {
        long slot = tracker.add(1);
        assertThat(tracker.ended(slot)).isTrue();
        assertThat(tracker.ended(slot)).isFalse();
        assertThat(tracker.ended(slot + 1)).as("never handed out").isFalse();
    }

    @Test
    void whatever_ends_nothing_beyond_what_was_handed_out_or_passed_is_committable() {
        long five = tracker.add(5);
        long nine = tracker.add(9);
        for (long stale : new long[] {OffsetTracker.NOTHING, five - 1, nine + 1, nine + 1_000, Long.MAX_VALUE}) {
            assertThat(tracker.ended(stale)).as("slot %d", stale).isFalse();
        }
        assertThat(tracker.committable()).isEqualTo(5);
        tracker.ended(five);
        tracker.ended(nine);
        assertThat(tracker.committable()).isEqualTo(10);
        assertThat(tracker.ended(nine + 1)).isFalse();
        assertThat(tracker.committable()).isEqualTo(10);
    }

    @Test
    void an_offset_that_comes_back_is_refused() {
        tracker.add(5);
        assertThatThrownBy(() -> tracker.add(5)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void I1_agrees_with_the_model_after_every_step_of_every_seed() {
        for (int seed = 0; seed < SEEDS; seed++) {
            new Life(seed).live();
        }
    }

    /** One seeded life of a window beside its model: the sorted offsets that have not ended. */
    private static final class Life {

        private final int seed;
        private final SplittableRandom random;
        private final OffsetTracker tracker = new OffsetTracker();
        private final TreeMap<Long, Long> unfinished = new TreeMap<>(); // offset → slot
        private final List<Long> finishedSlots = new ArrayList<>();
        private long end = OffsetTracker.NOTHING;
        private long lastCommittable = OffsetTracker.NOTHING;

        Life(int seed) {
            this.seed = seed;
            this.random = new SplittableRandom(seed);
        }

        void live() {
            for (int step = 0; step < STEPS; step++) {
                switch (random.nextInt(10)) {
                    case 0, 1, 2, 3 -> poll();
                    case 4, 5, 6, 7, 8 -> end();
                    default -> endAgain();
                }
                check(step);
            }
            drain();
        }

        private void poll() {
            int records = random.nextInt(1, 8);
            for (int i = 0; i < records; i++) {
                long offset = Math.max(end, 0) + (random.nextInt(4) == 0 ? random.nextLong(1, 5_000) : 0);
                unfinished.put(offset, tracker.add(offset));
                end = offset + 1;
            }
            if (random.nextBoolean()) {
                end += random.nextInt(3);
                tracker.reached(end);
            }
        }

        private void end() {
            if (unfinished.isEmpty()) {
                return;
            }
            long from = random.nextLong(unfinished.firstKey(), unfinished.lastKey() + 1);
            Map.Entry<Long, Long> near =
                    unfinished.tailMap(from).entrySet().iterator().next();
            long slot = near.getValue();
            unfinished.remove(near.getKey());
            assertThat(tracker.ended(slot))
                    .as("seed %d: slot %d is open", seed, slot)
                    .isTrue();
            finishedSlots.add(slot);
        }

        private void endAgain() {
            if (!finishedSlots.isEmpty()) {
                long slot = finishedSlots.get(random.nextInt(finishedSlots.size()));
                assertThat(tracker.ended(slot))
                        .as("seed %d: slot %d has ended before", seed, slot)
                        .isFalse();
            }
        }

        private void check(int step) {
            long committable = tracker.committable();
            long expected = unfinished.isEmpty() ? end : unfinished.firstKey();
            if (committable != expected || committable < lastCommittable || committable > end) {
                throw new AssertionError("seed %d step %d: committable %d, lowest unfinished %d, before %d, end %d"
                        .formatted(seed, step, committable, expected, lastCommittable, end));
            }
            if (tracker.span() < unfinished.size()) {
                throw new AssertionError("seed %d step %d: span %d is less than the %d open records"
                        .formatted(seed, step, tracker.span(), unfinished.size()));
            }
            lastCommittable = committable;
        }

        private void drain() {
            while (!unfinished.isEmpty()) {
                end();
            }
            assertThat(tracker.committable()).as("seed %d: all has ended", seed).isEqualTo(end);
            assertThat(tracker.span()).isZero();
        }
    }
}
