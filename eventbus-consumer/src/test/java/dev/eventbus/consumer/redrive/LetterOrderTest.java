package dev.eventbus.consumer.redrive;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.parking.ParkedEvent;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;

class LetterOrderTest {

    private static final Instant START = Instant.parse("2030-01-01T00:00:00Z");

    @Test
    void in_one_partition_offsets_tell_whatever_the_publishers_clocks_say() {
        assertThat(sorted(at(0, 12, 100), at(0, 10, 130), at(0, 11, 90))).containsExactly("0@10", "0@11", "0@12");
        assertThat(isBehind(at(0, 11, 90), at(0, 10, 130))).isTrue();
        assertThat(isBehind(at(0, 10, 130), at(0, 11, 90))).isFalse();
    }

    @Test
    void where_a_topic_has_grown_the_partition_with_the_older_events_comes_first() {
        assertThat(sorted(at(0, 3, 1_000), at(2, 8, 20), at(2, 7, 30), at(0, 4, 990)))
                .containsExactly("2@7", "2@8", "0@3", "0@4");
        assertThat(isBehind(at(0, 3, 1_000), at(2, 8, 20))).isTrue();
        assertThat(isBehind(at(2, 8, 20), at(0, 3, 1_000))).isFalse();
    }

    @Test
    void where_a_topic_was_made_again_the_larger_offset_is_the_older_one() {
        assertThat(sorted(at(0, 3, 9_000), at(0, 5_000, 10), at(0, 4, 9_001))).containsExactly("0@5000", "0@3", "0@4");
        assertThat(isBehind(at(0, 3, 9_000), at(0, 5_000, 10))).isTrue();
        assertThat(sorted(at(0, 6_000, 9_500), at(0, 3, 9_000), at(0, 5_000, 10)))
                .containsExactly("0@5000", "0@3", "0@6000");
    }

    @Test
    void a_publisher_whose_clock_is_wrong_by_hours_changes_no_order_in_a_partition() {
        Found first = sentAt(0, 10, 100_000, 100_001);
        Found hoursBehind = sentAt(0, 11, 50_000, 100_002);
        Found third = sentAt(0, 12, 100_001, 100_003);
        assertThat(sorted(third, hoursBehind, first)).containsExactly("0@10", "0@11", "0@12");
        assertThat(isBehind(hoursBehind, first)).isTrue();
        assertThat(isBehind(first, hoursBehind)).isFalse();
    }

    @Test
    void a_publisher_whose_clock_is_ahead_by_hours_changes_no_order_in_a_partition() {
        Found hoursAhead = sentAt(0, 5, 100_000 + 3 * 3_600, 100_004);
        Found right = sentAt(0, 10, 100_001, 100_003);
        assertThat(sorted(right, hoursAhead)).containsExactly("0@5", "0@10");
        assertThat(isBehind(hoursAhead, right)).isFalse();
        assertThat(isBehind(right, hoursAhead)).isTrue();
    }

    @Test
    void a_clock_that_is_a_little_ahead_does_not_hide_that_a_topic_was_made_again() {
        Found ofNewTopic = sentAt(0, 3, 9_005, 9_000);
        assertThat(sorted(ofNewTopic, at(0, 5_000, 10))).containsExactly("0@5000", "0@3");
        assertThat(isBehind(ofNewTopic, at(0, 5_000, 10))).isTrue();
    }

    @Test
    void events_that_fail_once_their_group_was_set_back_are_before_those_that_had_failed_already() {
        Found later = sentAt(0, 11, 101, 102);
        Found earlier = sentAt(0, 10, 100, 90_000);
        assertThat(sorted(later, earlier)).containsExactly("0@10", "0@11");
    }

    @Test
    void a_letter_that_has_failed_again_has_its_place_by_when_it_failed_first() {
        Found old = sentAt(0, 5_000, 10, 20_000).firstSeenAs(sentAt(0, 5_000, 10, 11));
        assertThat(sorted(at(0, 3, 9_000), old)).containsExactly("0@5000", "0@3");
    }

    private static List<String> sorted(Found... letters) {
        List<Found> list = new ArrayList<>(Arrays.asList(letters));
        LetterOrder.sort(list);
        return list.stream()
                .map(found -> found.origin().partition() + "@" + found.origin().offset())
                .toList();
    }

    private static boolean isBehind(Found there, Found letter) {
        return LetterOrder.isBehind(parked(there), there.firstFailedAt(), letter);
    }

    private static ParkedEvent parked(Found found) {
        return found.parked(record(found.origin().partition(), found.origin().offset()));
    }

    private static Found at(int partition, long offset, long seconds) {
        return sentAt(partition, offset, seconds, seconds);
    }

    private static Found sentAt(int partition, long offset, long sentSeconds, long failedSeconds) {
        Instant sent = START.plusSeconds(sentSeconds);
        Instant failed = START.plusSeconds(failedSeconds);
        Origin origin = new Origin(
                "t", partition, offset, sent, "g", null, 1, failed, failed, FailureReason.NOT_RETRYABLE, null, null, 0);
        return Found.of(record(partition, offset), origin);
    }

    private static ConsumerRecord<byte[], byte[]> record(int partition, long offset) {
        return new ConsumerRecord<>("dlq", partition, offset, "bob".getBytes(UTF_8), new byte[] {1});
    }
}
