package dev.eventbus.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.api.Test;

class TopicBreakersTest {

    private static final Instant NOON = Instant.parse("2030-01-01T12:00:00Z");

    private Instant now = NOON;

    private final TopicBreakers breakers = new TopicBreakers(() -> now);

    @Test
    void silence_is_told_after_one_and_a_half_seconds_and_not_later() {
        while (breakers.problems().isEmpty()) {
            Instant retryAt = breakers.failed("asset.events", "is not there", false);
            assertThat(breakers.problems())
                    .isEqualTo(now.isBefore(NOON.plusMillis(1_500)) ? List.of() : List.of("is not there"));
            assertThat(retryAt).isAfter(now);
            now = breakers.problems().isEmpty() ? retryAt : now;
        }
        assertThat(Duration.between(NOON, now)).isEqualTo(Duration.ofMillis(1_500));
    }

    @Test
    void what_a_broker_has_said_is_told_at_once() {
        breakers.failed("asset.events", "does not have the topic", true);
        assertThat(breakers.problems()).containsExactly("does not have the topic");
    }

    @Test
    void what_a_broker_has_said_stands_until_nobody_has_said_anything_for_one_and_a_half_seconds() {
        breakers.failed("asset.events", "does not have the topic", true);
        now = now.plusSeconds(2);
        breakers.failed("asset.events", "nobody has said anything", false);
        assertThat(breakers.problems()).containsExactly("does not have the topic");
        now = now.plusMillis(1_499);
        breakers.failed("asset.events", "nobody has said anything", false);
        assertThat(breakers.problems()).containsExactly("does not have the topic");
        breakers.failed("asset.events", "does not let us see the topic", true);
        now = now.plusSeconds(2);
        breakers.failed("asset.events", "nobody has said anything", false);
        assertThat(breakers.problems()).containsExactly("does not let us see the topic");
        now = now.plusMillis(1_500);
        breakers.failed("asset.events", "nobody has said anything", false);
        assertThat(breakers.problems()).containsExactly("nobody has said anything");
    }

    @Test
    void after_the_clock_was_set_back_a_topic_of_which_nobody_has_spoken_waits_no_longer_than_before() {
        breakers.failed("asset.events", "nobody has said anything", false);
        now = now.minusSeconds(20);
        assertThat(breakers.halfOpen()).containsExactly("asset.events");
        breakers.failed("asset.events", "does not have the topic", true);
        assertThat(breakers.halfOpen()).isEmpty();
    }

    @Test
    void however_many_producers_were_started_in_a_minute_the_next_is_asked_for_its_topics_every_second() {
        for (int start = 0; start < 20; start++) {
            breakers.failed("asset.events", "nobody has said anything yet", false);
            now = now.plusMillis(100);
            breakers.succeeded("asset.events");
        }
        Instant since = now;
        while (now.isBefore(since.plusSeconds(10))) {
            Instant next = breakers.failed("asset.events", "nobody has said anything yet", false);
            assertThat(Duration.between(now, next)).isPositive().isLessThanOrEqualTo(Duration.ofSeconds(1));
            now = next;
        }
    }
}
