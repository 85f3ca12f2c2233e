package dev.eventbus.outbox.internal;

import dev.eventbus.internal.RunLoop;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.OutboxStore.Deleted;
import dev.eventbus.outbox.sql.RelayConnection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Deletes rows on a thread and a connection of its own, so that the relay can read on meanwhile. One DELETE at a time, of what its caller
 * has decided on; it decides nothing. Thread and connection are there from the first backlog on; the connection is given back when
 * nothing was deleted for a while, and without one {@link #begin} refuses, so nobody depends on a second one.
 *
 * <p>Everything but the DELETE itself is called by the relay's thread.
 */
public final class DeleteAside {

    private static final Logger LOG = LoggerFactory.getLogger(DeleteAside.class);

    private static final Duration IDLE_LIMIT = Duration.ofSeconds(10);
    private static final Duration RETRY_AFTER = Duration.ofSeconds(10);
    private static final Duration UNTIL_WOKEN = Duration.ofHours(1);

    private enum State {
        /** Without a connection. */
        CLOSED,
        OPEN,
        BUSY
    }

    private final OutboxStore store;
    private final RelayConnection connection;
    private final Runnable ended;
    private final RunLoop loop;
    private final AtomicReference<State> state = new AtomicReference<>(State.CLOSED);

    private volatile boolean wanted;

    /** {@link System#nanoTime()} before which no connection is asked for, since the last time there was none. */
    private volatile long notBefore = System.nanoTime();

    /** Whether the thread of its own has ended, whatever ended it. */
    private volatile boolean over;

    /** Whether the connection is not to be used again. */
    private volatile boolean dropped;

    /** The DELETE that was begun and not taken; written by the relay's thread. */
    private volatile @Nullable FutureTask<Deleted> task;

    /** The relay's thread only. */
    private boolean started;

    /** Whether it was said that there is no connection; its own thread only. */
    private boolean told;

    /** When the connection was last used; its own thread only. */
    private long usedAt = System.nanoTime();

    /**
     * @param connection for this alone
     * @param ended called on the thread of its own when a DELETE has ended
     */
    public DeleteAside(OutboxStore store, RelayConnection connection, Runnable ended) {
        this.store = store;
        this.connection = connection;
        this.ended = ended;
        this.loop = new RunLoop("eventbus-relay-delete", this::pass, this::end);
    }

    /**
     * Begins to delete these rows, as {@link OutboxStore#delete} does.
     *
     * @return false if that cannot be now, since there is no connection yet; then nothing is done
     * @throws IllegalStateException if another is under way
     */
    public boolean begin(List<OutboxRow> rows) {
        if (task != null) {
            throw new IllegalStateException("one DELETE at a time");
        }
        if (dropped || !state.compareAndSet(State.OPEN, State.BUSY)) {
            want();
            return false;
        }
        FutureTask<Deleted> next = new FutureTask<>(() -> delete(rows));
        task = next;
        if (over) {
            next.cancel(false);
        }
        loop.wake();
        return true;
    }

    private void want() {
        if (!wanted && !over && System.nanoTime() - notBefore >= 0) {
            wanted = true;
            if (!started) {
                started = true;
                loop.start();
            }
            loop.wake();
        }
    }

    /** Whether one was begun whose result was not taken. */
    public boolean isUnderWay() {
        return task != null;
    }

    /** Whether {@link #take} has something to say. */
    public boolean hasEnded() {
        FutureTask<Deleted> begun = task;
        return begun != null && begun.isDone();
    }

    /**
     * What the DELETE has come to; empty if none has ended since the last call.
     *
     * @throws SQLException if it has failed, or it is not known whether it has
     */
    public Optional<Deleted> take() throws SQLException {
        FutureTask<Deleted> begun = task;
        if (begun == null || !begun.isDone()) {
            return Optional.empty();
        }
        task = null;
        try {
            return Optional.of(begun.get());
        } catch (ExecutionException e) {
            if (e.getCause() instanceof SQLException failed) {
                throw failed;
            }
            if (e.getCause() instanceof Error error) {
                throw error;
            }
            throw new IllegalStateException("a DELETE has failed", e.getCause());
        } catch (CancellationException e) {
            throw new SQLException("the thread that was to delete has ended", e);
        } catch (InterruptedException e) {
            throw new AssertionError("it is done, so nobody waits", e);
        }
    }

    /** Its connection is closed before anything else is deleted: it may lead to another server than the relay's next one does. */
    public void drop() {
        dropped = true;
        loop.wake();
    }

    /**
     * Ends, after the DELETE that may be under way, and gives the connection back; waits for that, but not for a data source that is
     * being asked for one.
     */
    public void close(Duration limit) {
        loop.stop();
        boolean asks = connection.openingFor().isPresent();
        if (!loop.awaitStopped(asks ? Duration.ZERO : limit) && isUnderWay() && !hasEnded()) {
            LOG.warn(
                    "A DELETE is still under way. The leases run out by themselves, and its connection is given back once the database answers.");
        }
    }

    private void end() {
        over = true;
        try {
            connection.close();
        } finally {
            state.set(State.CLOSED);
            FutureTask<Deleted> begun = task;
            if (begun != null) {
                begun.cancel(false);
            }
            ended.run();
        }
    }

    private Duration pass() {
        FutureTask<Deleted> begun = task;
        if (begun != null && !begun.isDone()) {
            begun.run();
            ended.run();
        }
        if (dropped && closeUnlessBusy()) { // nothing is begun while it is dropped
            dropped = false;
        }
        if (wanted && !open()) {
            return UNTIL_WOKEN;
        }
        Duration idle = Duration.ofNanos(System.nanoTime() - usedAt);
        return idle.compareTo(IDLE_LIMIT) >= 0 && closeUnlessBusy() ? UNTIL_WOKEN : IDLE_LIMIT;
    }

    private Deleted delete(List<OutboxRow> rows) throws SQLException {
        State then = State.CLOSED;
        try {
            Deleted deleted = store.delete(connection.get(), rows);
            usedAt = System.nanoTime();
            then = State.OPEN;
            return deleted;
        } catch (SQLException e) {
            connection.drop(e);
            throw e;
        } finally {
            if (then == State.CLOSED) {
                notBefore = System.nanoTime() + RETRY_AFTER.toNanos();
                connection.close();
            }
            state.set(then);
        }
    }

    private boolean open() {
        boolean got = false;
        try {
            connection.get();
            usedAt = System.nanoTime();
            state.compareAndSet(State.CLOSED, State.OPEN);
            got = true;
            told = false;
        } catch (SQLException | RuntimeException e) {
            if (!told) {
                LOG.info(
                        "The relay deletes on the connection that it reads on, since it got no second one; that takes longer, and nothing else: {}",
                        e.toString());
            }
            told = true;
        } finally {
            notBefore = got ? notBefore : System.nanoTime() + RETRY_AFTER.toNanos();
            wanted = false;
        }
        return got;
    }

    /** Closes the connection unless a DELETE is to run on it. Returns whether there is none now. */
    private boolean closeUnlessBusy() {
        if (state.compareAndSet(State.OPEN, State.CLOSED)) {
            connection.close();
        }
        return state.get() == State.CLOSED;
    }
}
