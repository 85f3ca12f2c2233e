package dev.eventbus.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EncodedEvent;
import dev.eventbus.outbox.internal.Room;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.RowKey;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class RelayPaceTest {

    private long now = 1_000_000_000L;
    private int wakes;
    private final InFlight inFlight = new InFlight(SendMode.PIPELINED, () -> now);
    private final RelayPace pace = new RelayPace(inFlight, () -> wakes++, () -> now);

    /** Rests and looks, without finding anything, as often as a list is long. */
    private List<Long> restsInMicros(int looks) {
        List<Long> rests = new ArrayList<>();
        for (int i = 0; i < looks; i++) {
            Duration rest = pace.rest(false);
            rests.add(rest.toNanos() / 1_000);
            now += rest.toNanos();
            assertThat(pace.due()).isTrue();
            pace.looked(false, 0, 0);
        }
        return rests;
    }

    @Test
    void an_idle_relay_looks_less_and_less_often() {
        pace.looked(true, 0, 0);
        List<Long> rests = restsInMicros(20);
        assertThat(rests).startsWith(2_000L, 2_500L, 3_125L, 3_906L).endsWith(88_817L, 100_000L, 100_000L);
    }

    @Test
    void after_a_publish_it_looks_soon_and_often_for_a_quarter_of_a_second() {
        restsInMicros(10);
        pace.published();
        assertThat(restsInMicros(9))
                .containsExactly(500L, 1_000L, 2_000L, 4_000L, 8_000L, 16_000L, 32_000L, 64_000L, 100_000L);
    }

    @Test
    void many_looks_right_after_a_publish_do_not_make_it_look_without_rest() {
        restsInMicros(10);
        pace.published();
        restsInMicros(1);
        for (int i = 0; i < 100; i++) {
            pace.looked(true, 0, 0);
        }
        assertThat(pace.rest(false)).isEqualTo(Duration.ofMillis(100));
    }

    @Test
    void a_publish_wakes_a_resting_relay_once_and_a_busy_one_never() {
        restsInMicros(10);
        pace.published();
        pace.published();
        assertThat(wakes).as("it is not resting").isZero();
        restsInMicros(12);
        pace.rest(false);
        pace.published();
        pace.published();
        assertThat(wakes).isEqualTo(1);
    }

    @Test
    void publishing_without_a_pause_does_not_put_the_look_off() {
        restsInMicros(10);
        pace.published();
        assertThat(pace.due()).isFalse();
        for (int i = 0; i < 5; i++) {
            now += 100_000;
            pace.published();
            boolean due = pace.due();
            assertThat(due).isEqualTo(i == 4);
        }
    }

    @Test
    void a_known_commit_is_looked_at_at_once_and_once() {
        restsInMicros(10);
        pace.rest(false);
        pace.committed();
        assertThat(wakes).isEqualTo(1);
        assertThat(pace.rest(false)).isZero();
        assertThat(pace.due()).isTrue();
        pace.looked(false, 0, 0);
        assertThat(pace.due()).isFalse();
    }

    @Test
    void after_a_look_that_took_long_it_rests_twice_as_long_even_if_a_commit_is_known() {
        pace.looked(true, 700_000, 0);
        pace.committed();
        assertThat(pace.rest(false)).isEqualTo(Duration.ofNanos(1_400_000));
        now += 1_399_999;
        assertThat(pace.due()).isFalse();
        now += 1;
        assertThat(pace.due()).as("the commit is not forgotten").isTrue();
        pace.looked(false, 500_000_000, 0);
        pace.committed();
        assertThat(pace.rest(false)).isEqualTo(Duration.ofMillis(10));
    }

    @Test
    void many_commits_during_a_pause_wake_once() {
        restsInMicros(20);
        pace.looked(false, 3_000_000, 0);
        pace.rest(false);
        pace.committed();
        assertThat(wakes).isEqualTo(1);
        assertThat(pace.due()).as("it pauses").isFalse();
        assertThat(pace.rest(false)).isEqualTo(Duration.ofMillis(6));
        pace.committed();
        pace.published();
        assertThat(wakes).isEqualTo(1);
        now += 6_000_000;
        assertThat(pace.due()).isTrue();
    }

    @Test
    void what_is_acknowledged_is_deleted_with_the_last_ack_or_after_ten_milliseconds() {
        OutboxRow first = row(1);
        OutboxRow second = row(2);
        for (OutboxRow row : List.of(first, second)) {
            inFlight.add(row, "t", 0);
        }
        InFlight.Lane lane = inFlight.lanes().iterator().next();
        inFlight.handOver(lane);
        inFlight.handOver(lane);
        pace.statementEnded();
        pace.looked(false, 0, 0);
        inFlight.acked(first);
        assertThat(pace.isTimeToDelete()).isFalse();
        assertThat(pace.rest(false)).isLessThanOrEqualTo(Duration.ofMillis(10));
        now += 10_000_000;
        assertThat(pace.isTimeToDelete()).isTrue();
        assertThat(pace.rest(false)).isZero();
        pace.statementEnded();
        assertThat(pace.isTimeToDelete()).isFalse();
        inFlight.acked(second);
        assertThat(pace.isTimeToDelete()).isTrue();
    }

    @Test
    void while_a_topic_is_stuck_whose_events_a_look_reads_past_it_looks_for_a_fifth_of_the_time_and_keeps_its_leases() {
        OutboxRow last = row(Room.MAX_ROWS_PER_TOPIC);
        for (int seq = 1; seq < Room.MAX_ROWS_PER_TOPIC; seq++) {
            inFlight.add(row(seq), "t", 0);
        }
        inFlight.add(last, "t", 1);
        inFlight.lanes().forEach(inFlight::handOver);
        now += Duration.ofMillis(100).toNanos();
        assertThat(inFlight.stuck()).isNotEmpty();

        pace.looked(true, 0, Duration.ofMillis(30).toNanos());
        pace.committed();
        assertThat(untilDue()).isEqualTo(Duration.ofMillis(120));
        pace.looked(true, 0, Duration.ofSeconds(2).toNanos());
        pace.committed();
        assertThat(untilDue()).as("others wait so long at most").isEqualTo(Duration.ofSeconds(1));
        pace.looked(true, 0, Duration.ofSeconds(2).toNanos());
        pace.committed();

        inFlight.acked(last);
        inFlight.beginDelete();
        inFlight.deleted(List.of());
        assertThat(inFlight.stuck()).isEmpty();
        assertThat(untilDue()).isZero();
    }

    /** A round has other things to do than to look. */
    private Duration untilDue() {
        long began = now;
        Duration rest = pace.rest(false);
        while (!pace.due()) {
            assertThat(rest).isPositive().isLessThanOrEqualTo(Duration.ofMillis(100));
            now += rest.toNanos();
            rest = pace.rest(false);
        }
        return Duration.ofNanos(now - began);
    }

    private static OutboxRow row(long seq) {
        EncodedEvent event = new EncodedEvent(
                "evt-" + seq, "T", "topic", "key", new byte[100], "application/json", null, null, Map.of());
        return new OutboxRow(new RowKey(0, seq, event.id()), event, Instant.EPOCH, 100, "", "");
    }
}
