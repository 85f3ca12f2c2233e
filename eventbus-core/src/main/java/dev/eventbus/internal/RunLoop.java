package dev.eventbus.internal;

import java.time.Duration;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs one pass of work again and again on a thread of its own, rests between passes, and stops.
 *
 * <p>States go forward only: NEW, RUNNING, STOPPING, STOPPED. {@link #start()}, {@link #wake()} and {@link #stop()} may be
 * called from any thread; the pass and the end run on the loop's thread only.
 */
public final class RunLoop {

    /** One round of work. */
    @FunctionalInterface
    public interface Pass {
        /** Works once and says how long to rest before the next round; zero for not at all. */
        Duration run();
    }

    private enum State {
        NEW,
        RUNNING,
        STOPPING,
        STOPPED
    }

    private static final Logger LOG = LoggerFactory.getLogger(RunLoop.class);
    private static final Duration REST_AFTER_A_BUG = Duration.ofSeconds(1);

    private final String name;
    private final Pass pass;
    private final Runnable end;
    private final Thread thread;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();

    /** Guarded by {@link #lock}. */
    private State state = State.NEW;

    /** Guarded by {@link #lock}. */
    private boolean woken;

    /**
     * @param pass what each round does; what it throws is logged as a bug and the loop goes on after a second, except a
     *     {@link VirtualMachineError}, which ends it
     * @param end runs once on the loop's thread after the last pass, whatever ended the loop
     */
    public RunLoop(String name, Pass pass, Runnable end) {
        this.name = name;
        this.pass = pass;
        this.end = end;
        this.thread = thread(name, this::loop);
    }

    /** The one place where this library makes a thread. */
    static Thread thread(String name, Runnable work) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(false);
        return thread;
    }

    /** Starts the thread; a second call is refused. */
    public void start() {
        lock.lock();
        try {
            if (state != State.NEW) {
                throw new IllegalStateException("%s was started before; build a new one".formatted(name));
            }
            state = State.RUNNING;
        } finally {
            lock.unlock();
        }
        thread.start();
    }

    /** Ends the current rest, or skips the next one. */
    public void wake() {
        lock.lock();
        try {
            woken = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Asks the loop to end after the current pass; returns at once. */
    public void stop() {
        lock.lock();
        try {
            state = state == State.NEW ? State.STOPPED : state == State.RUNNING ? State.STOPPING : state;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Waits until the loop has ended.
     *
     * @return false if it still runs after {@code limit}, or if the caller was interrupted (its interrupt flag is then set)
     */
    public boolean awaitStopped(Duration limit) {
        lock.lock();
        try {
            long nanos = limit.toNanos();
            while (state == State.RUNNING || state == State.STOPPING) {
                if (nanos <= 0) {
                    return false;
                }
                nanos = changed.awaitNanos(nanos);
            }
            return true;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        } finally {
            lock.unlock();
        }
    }

    public boolean isRunning() {
        lock.lock();
        try {
            return state == State.RUNNING;
        } finally {
            lock.unlock();
        }
    }

    /** Whether it has ended, or never will begin. */
    public boolean isStopped() {
        lock.lock();
        try {
            return state == State.STOPPED;
        } finally {
            lock.unlock();
        }
    }

    public boolean isLoopThread() {
        return Thread.currentThread() == thread;
    }

    private void loop() {
        try {
            while (isRunning()) {
                rest(runPass());
            }
        } finally {
            try {
                end.run();
            } finally {
                setStopped();
            }
        }
    }

    private Duration runPass() {
        try {
            return pass.run();
        } catch (VirtualMachineError e) {
            LOG.error("{} ends, because the JVM itself has failed; restart the process", name, e);
            throw e;
        } catch (Throwable e) {
            LOG.error("BUG, please report: a pass of {} failed; the next one follows in {}", name, REST_AFTER_A_BUG, e);
            return REST_AFTER_A_BUG;
        }
    }

    private void rest(Duration rest) {
        lock.lock();
        try {
            long nanos = rest.toNanos();
            while (nanos > 0 && !woken && state == State.RUNNING) {
                nanos = changed.awaitNanos(nanos);
            }
            woken = false;
        } catch (InterruptedException e) {
            LOG.warn("{} ends: its thread was interrupted", name);
            state = State.STOPPING;
        } finally {
            lock.unlock();
        }
    }

    private void setStopped() {
        lock.lock();
        try {
            state = State.STOPPED;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Waits for at most {@code limit} on a condition that other threads may make true; for draining and closing. */
    public static boolean await(Duration limit, BooleanSupplier condition) {
        return await(limit, Duration.ofMillis(1), condition);
    }

    /** The same for a condition that is dear to ask for, with a pause after each answer. */
    public static boolean await(Duration limit, Duration pause, BooleanSupplier condition) {
        long deadline = System.nanoTime() + limit.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - deadline >= 0 || Thread.currentThread().isInterrupted()) {
                return condition.getAsBoolean();
            }
            LockSupport.parkNanos(pause.toNanos());
        }
        return true;
    }
}
