package dev.eventbus.outbox.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class LostDeleteTest {

    private static final Duration LEASE = Duration.ofSeconds(10);

    private long nanos;
    private final LostDelete lost = new LostDelete(LEASE, () -> nanos);

    @Test
    void rows_that_are_locked_after_a_connection_was_lost_may_be_its_own_for_a_lease() {
        lost.lost(true);
        assertThat(lost.mayHaveDeleted()).isTrue();
        lost.repeated(true);
        lost.close();
        assertThat(lost.mayStillRun()).isTrue();
        nanos += LEASE.toNanos() - 1;
        lost.repeated(true);
        assertThat(lost.mayStillRun()).isTrue();
        nanos++;
        assertThat(lost.mayStillRun()).as("by now they are a stranger's").isFalse();
        assertThat(lost.mayHaveDeleted())
                .as("what goes at last goes by whoever had it")
                .isTrue();
    }

    @Test
    void one_that_was_answered_does_not_run_any_more() {
        lost.lost(false);
        lost.repeated(true);
        assertThat(lost.isOpen()).isTrue();
        lost.close();
        assertThat(lost.mayStillRun()).isFalse();
        assertThat(lost.mayHaveDeleted()).isFalse();
    }

    @Test
    void where_nothing_is_locked_any_more_none_runs() {
        lost.lost(true);
        lost.repeated(true);
        lost.close();
        lost.repeated(false);
        assertThat(lost.mayStillRun()).isFalse();
        lost.lost(true);
        lost.repeated(true);
        lost.close();
        lost.isOfNothing();
        lost.repeated(true);
        assertThat(lost.mayStillRun()).as("these locks came later").isFalse();
    }

    @Test
    void a_connection_that_was_lost_without_any_is_soon_forgotten() {
        lost.lost(true);
        lost.close();
        lost.repeated(true);
        assertThat(lost.mayHaveDeleted()).isFalse();
        assertThat(lost.mayStillRun()).isFalse();
    }

    @Test
    void a_refusal_after_the_loss_does_not_hide_it() {
        lost.lost(true);
        lost.lost(false);
        lost.repeated(true);
        assertThat(lost.mayStillRun()).isTrue();
    }
}
