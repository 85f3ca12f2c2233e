package dev.eventbus.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class RunLoopTest {

    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final Duration LONG = Duration.ofHours(1);

    private final LinkedBlockingQueue<String> seen = new LinkedBlockingQueue<>();
    private volatile Duration rest = LONG;
    private final AtomicInteger ends = new AtomicInteger();

    private final RunLoop loop = new RunLoop(
            "loop",
            () -> {
                seen.add(Thread.currentThread().getName());
                return rest;
            },
            ends::incrementAndGet);

    @AfterEach
    void stop() {
        loop.stop();
    }

    @Test
    void runs_passes_on_its_own_thread_until_stopped_then_the_end_once() throws InterruptedException {
        rest = Duration.ZERO;
        loop.start();

        assertThat(next()).isEqualTo("loop");
        assertThat(next()).isEqualTo("loop");
        assertThat(loop.isRunning()).isTrue();
        assertThat(loop.isLoopThread()).isFalse();
        loop.stop();
        loop.stop();

        assertThat(loop.awaitStopped(LIMIT)).isTrue();
        assertThat(loop.isRunning()).isFalse();
        assertThat(ends).hasValue(1);
    }

    @Test
    void a_wake_ends_a_rest() throws InterruptedException {
        loop.start();
        next();

        loop.wake();

        assertThat(next()).isEqualTo("loop");
    }

    @Test
    void a_wake_during_a_pass_skips_the_rest_after_it() throws InterruptedException {
        CountDownLatch inPass = new CountDownLatch(1);
        CountDownLatch woken = new CountDownLatch(1);
        RunLoop busy = new RunLoop(
                "busy",
                () -> {
                    inPass.countDown();
                    awaitUninterrupted(woken);
                    seen.add("pass");
                    return LONG;
                },
                () -> {});
        busy.start();
        assertThat(inPass.await(20, TimeUnit.SECONDS)).isTrue();

        busy.wake();
        woken.countDown();

        assertThat(next()).isEqualTo("pass");
        assertThat(next()).isEqualTo("pass");
        busy.stop();
        assertThat(busy.awaitStopped(LIMIT)).isTrue();
    }

    @Test
    void a_stop_ends_a_rest() throws InterruptedException {
        loop.start();
        next();

        loop.stop();

        assertThat(loop.awaitStopped(LIMIT)).isTrue();
        assertThat(ends).hasValue(1);
    }

    @Test
    void a_pass_that_throws_is_followed_by_another() throws InterruptedException {
        AtomicInteger passes = new AtomicInteger();
        RunLoop failing = new RunLoop(
                "failing",
                () -> {
                    seen.add("pass");
                    if (passes.incrementAndGet() == 1) {
                        throw new IllegalStateException("on purpose");
                    }
                    return LONG;
                },
                ends::incrementAndGet);
        failing.start();
        next();

        failing.wake(); // do not wait out the second after a bug

        assertThat(next()).isEqualTo("pass");
        failing.stop();
        assertThat(failing.awaitStopped(LIMIT)).isTrue();
        assertThat(ends).hasValue(1);
    }

    @Test
    void trouble_of_the_virtual_machine_ends_it() {
        RunLoop failing = new RunLoop(
                "failing",
                () -> {
                    Thread.currentThread().setUncaughtExceptionHandler((thread, e) -> seen.add("uncaught"));
                    throw new OutOfMemoryError("on purpose");
                },
                ends::incrementAndGet);
        failing.start();

        assertThat(failing.awaitStopped(LIMIT)).isTrue();
        assertThat(failing.isStopped()).isTrue();
        assertThat(ends).hasValue(1);
    }

    @Test
    void any_other_error_is_followed_by_another_pass() throws InterruptedException {
        AtomicInteger passes = new AtomicInteger();
        RunLoop failing = new RunLoop(
                "failing",
                () -> {
                    seen.add("pass");
                    if (passes.incrementAndGet() == 1) {
                        throw new java.util.ServiceConfigurationError("on purpose");
                    }
                    return LONG;
                },
                ends::incrementAndGet);
        failing.start();
        next();
        failing.wake();

        assertThat(next()).isEqualTo("pass");
        failing.stop();
        assertThat(failing.awaitStopped(LIMIT)).isTrue();
    }

    @Test
    void an_interrupt_stops_it_in_order() throws InterruptedException {
        LinkedBlockingQueue<Thread> threads = new LinkedBlockingQueue<>();
        RunLoop interrupted = new RunLoop(
                "interrupted",
                () -> {
                    threads.add(Thread.currentThread());
                    seen.add("pass");
                    return LONG;
                },
                ends::incrementAndGet);
        interrupted.start();
        next();

        threads.take().interrupt();

        assertThat(interrupted.awaitStopped(LIMIT)).isTrue();
        assertThat(ends).hasValue(1);
    }

    @Test
    void one_that_was_never_started_is_stopped_at_once_and_stays_so() {
        loop.stop();

        assertThat(loop.awaitStopped(Duration.ZERO)).isTrue();
        assertThatIllegalStateException().isThrownBy(loop::start).withMessageContaining("loop");
        assertThat(ends).as("nothing began, so nothing ends").hasValue(0);
    }

    @Test
    void a_second_start_is_refused() {
        loop.start();

        assertThatIllegalStateException().isThrownBy(loop::start);
    }

    @Test
    void waiting_for_the_end_is_bounded() throws InterruptedException {
        loop.start();
        next();

        assertThat(loop.awaitStopped(Duration.ofMillis(1))).isFalse();
    }

    @Test
    void the_end_runs_and_the_loop_is_stopped_even_if_the_end_throws() throws InterruptedException {
        RunLoop bad = new RunLoop(
                "bad",
                () -> {
                    seen.add("pass");
                    return Duration.ZERO;
                },
                () -> {
                    Thread.currentThread().setUncaughtExceptionHandler((thread, e) -> seen.add("uncaught"));
                    throw new IllegalStateException("on purpose");
                });
        bad.start();
        next();
        bad.stop();

        assertThat(bad.awaitStopped(LIMIT)).isTrue();
    }

    @Test
    void waiting_on_a_condition_ends_when_it_holds_or_time_is_up() {
        AtomicInteger looks = new AtomicInteger();

        assertThat(RunLoop.await(LIMIT, () -> looks.incrementAndGet() == 3)).isTrue();
        assertThat(RunLoop.await(Duration.ZERO, () -> false)).isFalse();
        assertThat(RunLoop.await(Duration.ofMillis(3), () -> false)).isFalse();
    }

    private String next() throws InterruptedException {
        String next = seen.poll(20, TimeUnit.SECONDS);
        assertThat(next).as("a pass within 20 s").isNotNull();
        return String.valueOf(next);
    }

    private static void awaitUninterrupted(CountDownLatch latch) {
        assertThat(RunLoop.await(LIMIT, () -> latch.getCount() == 0)).isTrue();
    }
}
