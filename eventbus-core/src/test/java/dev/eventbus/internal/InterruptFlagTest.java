package dev.eventbus.internal;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class InterruptFlagTest {

    @AfterEach
    void clear() {
        Thread.interrupted();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void is_as_it_was_before_whatever_others_do_to_it(boolean before) {
        set(before);
        for (boolean leavesItSet : new boolean[] {false, true}) {
            try (InterruptFlag ignored = InterruptFlag.kept()) {
                assertThat(Thread.currentThread().isInterrupted()).isEqualTo(before);
                set(leavesItSet);
            }
            assertThat(Thread.currentThread().isInterrupted()).isEqualTo(before);
        }
    }

    @Test
    void an_interrupt_of_before_is_put_off_to_the_end() {
        set(true);
        try (InterruptFlag ignored = InterruptFlag.putOff()) {
            assertThat(Thread.currentThread().isInterrupted()).isFalse();
        }
        assertThat(Thread.currentThread().isInterrupted()).isTrue();
    }

    @Test
    void one_that_comes_meanwhile_counts() {
        try (InterruptFlag ignored = InterruptFlag.putOff()) {
            set(true);
        }
        assertThat(Thread.currentThread().isInterrupted()).isTrue();
    }

    @Test
    void nothing_is_made_of_none() {
        try (InterruptFlag ignored = InterruptFlag.putOff()) {
            assertThat(Thread.currentThread().isInterrupted()).isFalse();
        }
        assertThat(Thread.currentThread().isInterrupted()).isFalse();
    }

    private static void set(boolean to) {
        if (to) {
            Thread.currentThread().interrupt();
        } else {
            Thread.interrupted();
        }
    }
}
