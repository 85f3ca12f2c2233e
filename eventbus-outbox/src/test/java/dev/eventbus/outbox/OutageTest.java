package dev.eventbus.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.outbox.internal.Outage;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

class OutageTest {

    private static final Instant NOW = Instant.parse("2026-11-27T10:00:00Z");

    private final AtomicReference<Instant> now = new AtomicReference<>(NOW);
    private final Outage outage = new Outage(now::get);

    @Test
    void what_failed_is_tried_again_after_its_back_off() {
        outage.failed("the database is away.");
        assertThat(outage.mustWait()).isTrue();
        now.set(NOW.plusMillis(100));
        assertThat(outage.mustWait()).isFalse();
    }

    @Test
    void a_clock_that_is_set_back_meanwhile_makes_nobody_wait_for_hours() {
        outage.failed("the database is away.");
        now.set(NOW.minus(Duration.ofHours(9)));
        assertThat(outage.mustWait()).isFalse();
    }

    @Test
    void nor_does_a_topic_wait_for_hours() {
        TopicBreakers breakers = new TopicBreakers(now::get);
        breakers.failed("asset.events", "refused", true);
        assertThat(breakers.halfOpen()).isEmpty();
        now.set(NOW.minus(Duration.ofHours(9)));
        assertThat(breakers.halfOpen()).containsExactly("asset.events");
    }
}
