package dev.eventbus.consumer;

import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The records of one key of one partition, in order and one at a time; several in a row only in one step, see {@link
 * LaneWorkers.Together}.
 *
 * <pre>
 *              add                worker              no more
 *     IDLE ───────────► READY ───────────► RUNNING ───────────► IDLE
 *     HELD ── wake ──►    ▲                 │    │
 *                         ├── wake ◄─ WAITING    │   back-off: no thread is held
 *                         └── wake ◄─ SENDING ◄──┘   a dead letter is on its way
 * </pre>
 *
 * <p>Once its partition is closed a lane starts nothing more; a record that runs or is being sent is finished. A lane that
 * was busy at that moment reports that record once more and starts nothing; it is quiet when its last report is taken, see {@link
 * #endedLast()}: earlier ones may still be on their way.
 *
 * <p>The poll thread adds, wakes and closes; the one worker that has begun it runs it. The lock is held for a few instructions,
 * never across user code.
 */
final class KeyLane {

    private enum State {
        IDLE,
        HELD,
        READY,
        RUNNING,
        WAITING,
        SENDING
    }

    /** What a lane tells the poll thread. */
    sealed interface Report {

        KeyLane lane();

        InFlight record();

        /** The record has ended, durably: its offset is finished. */
        record Ended(KeyLane lane, InFlight record) implements Report {}

        /** The record waits for its next try; the problem is for {@link RunnerHealth}, if it is one. */
        record Waits(
                KeyLane lane,
                InFlight record,
                Instant due,
                @Nullable String problem) implements Report {}

        /** The record stops its partition, unfinished. */
        record Stops(KeyLane lane, InFlight record, String why) implements Report {}

        /** The record was let go, unfinished: its partition is closed or the runner stops. */
        record LetGo(KeyLane lane, InFlight record) implements Report {}
    }

    private final AssignedPartitions.Partition partition;
    private final @Nullable ByteBuffer key;

    /** Guarded by this. */
    private final ArrayDeque<InFlight> queue = new ArrayDeque<>(2);

    /** Guarded by this. */
    private State state = State.IDLE;

    /** How many records at the queue's head are running: several only in one step with those of other lanes. Guarded by this. */
    private int running = 1;

    /** Records that have not ended. Poll thread only. */
    private int open;

    /** @param key raw key; null for a record without one, which has a lane of its own */
    KeyLane(AssignedPartitions.Partition partition, @Nullable ByteBuffer key) {
        this.partition = partition;
        this.key = key;
    }

    AssignedPartitions.Partition partition() {
        return partition;
    }

    @Nullable
    ByteBuffer key() {
        return key;
    }

    /** Poll thread: the lane waits until {@link #wake()}, because an older lane of its key still runs. */
    synchronized void hold() {
        state = State.HELD;
    }

    /** Poll thread: appends a record; true if the lane has become ready and must be given to the workers. */
    synchronized boolean add(InFlight record) {
        open++;
        queue.addLast(record);
        if (state != State.IDLE) {
            return false;
        }
        state = State.READY;
        return true;
    }

    /** Poll thread: a record has ended or was let go; true if it was the last, so that nothing of the lane runs any more. */
    boolean endedLast() {
        return --open == 0;
    }

    /** Worker: begins a ready lane; null if there is nothing to start any more. */
    synchronized @Nullable InFlight begin() {
        InFlight head = queue.peekFirst();
        if (state != State.READY || head == null || partition.isClosed() && !isSettling()) {
            return null;
        }
        state = State.RUNNING;
        return head;
    }

    /** Worker: the running record has ended; the next one, which is running from now, or null if the worker is to go. */
    synchronized @Nullable InFlight next() {
        queue.removeFirst();
        InFlight head = queue.peekFirst();
        if (head == null || partition.isClosed()) {
            state = State.IDLE;
            return null;
        }
        return head;
    }

    /** Worker: the running record has ended, and others come first; true if the lane must be given to the workers again. */
    synchronized boolean nextLater() {
        if (next() == null) {
            return false;
        }
        state = State.READY;
        return true;
    }

    /** Worker: the records behind what runs, in order, run too from now: at most so many, none if nothing may begin any more. */
    synchronized List<InFlight> runsMore(int most) {
        if (partition.isClosed()) {
            return List.of();
        }
        List<InFlight> more = queue.stream().skip(running).limit(most).toList();
        running += more.size();
        return more;
    }

    /**
     * Worker: of what runs only so many go on running; the rest never began.
     *
     * @return what of the rest must be let go, because the partition is closed
     */
    synchronized List<InFlight> runsOnly(int records) {
        List<InFlight> letGo = new ArrayList<>();
        if (partition.isClosed()) {
            queue.stream().limit(running).skip(records).forEach(letGo::add);
            queue.removeAll(letGo); // by identity: a record equals itself alone
        }
        running = records;
        return letGo;
    }

    /** Worker: so many of the records that run together have ended, not the last. */
    synchronized void ended(int records) {
        for (int i = 0; i < records; i++) {
            queue.removeFirst();
        }
        running -= records;
    }

    /**
     * Worker: what runs has not ended and is to begin again, record by record.
     *
     * @return what must be let go instead, because the partition is closed; empty if the lane must be given to the workers again
     */
    synchronized List<InFlight> beginsAgain() {
        List<InFlight> letGo = new ArrayList<>();
        if (partition.isClosed() && !isSettling()) {
            while (letGo.size() < running) {
                letGo.add(queue.removeFirst());
            }
        }
        state = letGo.isEmpty() ? State.READY : State.IDLE;
        running = 1;
        return letGo;
    }

    /** Whether the first record's letter has been sent, which is seen through to its end. Guarded by this. */
    private boolean isSettling() {
        InFlight head = queue.peekFirst();
        return head != null && head.hasSendResult();
    }

    /** Worker: the running record waits for its next try; false if its partition is closed, so that it must be let go. */
    synchronized boolean waits() {
        if (partition.isClosed()) {
            return false;
        }
        state = State.WAITING;
        return true;
    }

    /** Worker: the running record is let go, unfinished; its partition is closed. */
    synchronized void letGo() {
        queue.removeFirst();
        state = State.IDLE;
    }

    /** Worker: the running record's letter is about to be sent. */
    synchronized void sends() {
        state = State.SENDING;
    }

    /** Any thread: the wait or the sending is over; true if the lane must be given to the workers. */
    synchronized boolean wake() {
        if (state != State.WAITING && state != State.SENDING && state != State.HELD) {
            return false;
        }
        state = queue.isEmpty() ? State.IDLE : State.READY;
        return state == State.READY;
    }

    /**
     * Poll thread, after the partition was closed: drops what has not begun.
     *
     * @param dropped receives the records that were dropped
     * @return whether nothing is left; else the lane will report what became of its first record
     */
    boolean closeUnlessBusy(List<? super InFlight> dropped) {
        int before = dropped.size();
        drop(dropped);
        open -= dropped.size() - before;
        return open == 0;
    }

    private synchronized void drop(List<? super InFlight> dropped) {
        boolean busy = state == State.RUNNING || state == State.SENDING || state == State.READY && isSettling();
        while (queue.size() > (busy ? running : 0)) {
            dropped.add(queue.removeLast());
        }
        if (!busy) {
            state = State.IDLE;
        }
    }
}
