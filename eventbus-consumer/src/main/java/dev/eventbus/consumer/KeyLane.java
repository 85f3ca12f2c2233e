package dev.eventbus.consumer;

import dev.eventbus.consumer.internal.OffsetTracker;
import dev.eventbus.consumer.internal.Timers;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The records of one key of one partition, in order and one at a time; several in a row only in one step, see {@link
 * SharedTurn.Together}.
 *
 * <pre>
 *              add                worker              no more
 *     IDLE ───────────► READY ───────────► RUNNING ───────────► IDLE
 *     HELD ── wake ──►    ▲                 │    │
 *                         ├── wake ◄─ WAITING    │   back-off: no thread is held
 *                         └── wake ◄─ SENDING ◄──┘   a dead letter is on its way
 * </pre>
 *
 * <p>Once its partition is closing a lane starts only what the partition still allows; a record that runs or is being sent is
 * finished. The lane is quiet when its last report is taken, see {@link #endedLast()}: earlier ones may still be on their way.
 *
 * <p>The poll thread adds, wakes and closes; the one worker that has begun it runs it. The lock is held for a few instructions,
 * never across user code.
 */
final class KeyLane implements Timers.Waiting {

    enum State {
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

    private final Partition partition;
    private final @Nullable ByteBuffer key;

    /** Guarded by this. */
    private final ArrayDeque<InFlight> queue = new ArrayDeque<>(2);

    /** Guarded by this. */
    private State state = State.IDLE;

    /** Whether the workers know that somebody waits for this lane. Guarded by this. */
    private boolean hurries;

    /** When a waiting record is due. Guarded by this. */
    private Instant due = Instant.MIN;

    /** Slot of the record that has ended last; {@link OffsetTracker#NOTHING} for none. Guarded by this. */
    private long lastEnded = OffsetTracker.NOTHING;

    /** How many records at the queue's head are running: several only in one step with those of other lanes. Guarded by this. */
    private int running = 1;

    /** Slot of the first record that was let go, unfinished: nothing behind it is ever started. Guarded by this. */
    private long letGo = Long.MAX_VALUE;

    /** Records that have not ended. Poll thread only. */
    private int open;

    /** @param key raw key; null for a record without one, which has a lane of its own */
    KeyLane(Partition partition, @Nullable ByteBuffer key) {
        this.partition = partition;
        this.key = key;
    }

    Partition partition() {
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

    synchronized RunnerHealth.Look look() {
        return new RunnerHealth.Look(state, queue.peekFirst(), state == State.WAITING ? due : null);
    }

    /** Poll thread: a record has ended or was let go; true if it was the last, so that nothing of the lane runs any more. */
    boolean endedLast() {
        return --open == 0;
    }

    /** Worker: begins a ready lane; null if there is nothing to start any more. */
    synchronized @Nullable InFlight begin() {
        if (state != State.READY) {
            return null;
        }
        InFlight head = queue.peekFirst();
        if (head == null || !mayStart(head) && !isSettling()) {
            state = State.IDLE;
            return null;
        }
        state = State.RUNNING;
        return head;
    }

    /** Worker: the running record has ended; the next one, which is running from now, or null if the worker is to go. */
    synchronized @Nullable InFlight next() {
        lastEnded = queue.removeFirst().slot();
        InFlight head = queue.peekFirst();
        if (head == null || !mayStart(head)) {
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
        List<InFlight> more = queue.stream()
                .skip(running)
                .limit(most)
                .takeWhile(this::mayStart)
                .toList();
        running += more.size();
        return more;
    }

    /**
     * Worker: of what runs only so many go on running; the rest never began.
     *
     * @return what of the rest must be let go, because its partition is closing
     */
    synchronized List<InFlight> runsOnly(int records) {
        List<InFlight> refused = refused(records);
        running = records;
        return refused;
    }

    /** Worker: so many of the records that run together have ended, not the last. */
    synchronized void ended(int records) {
        for (int i = 0; i < records; i++) {
            lastEnded = queue.removeFirst().slot();
        }
        running -= records;
    }

    /**
     * Worker: what runs has not ended and is to begin again, record by record; the lane must be given to the workers again.
     *
     * @return what must be let go instead, because its partition is closing
     */
    synchronized List<InFlight> beginsAgain() {
        List<InFlight> refused = refused(isSettling() ? 1 : 0);
        state = queue.isEmpty() ? State.IDLE : State.READY;
        running = 1;
        return refused;
    }

    /** Lets go what runs but may not be started, from a place in the queue on. Guarded by this. */
    private List<InFlight> refused(int from) {
        List<InFlight> refused = queue.stream()
                .limit(running)
                .skip(from)
                .dropWhile(partition::mayStay)
                .toList();
        queue.removeAll(refused); // by identity: a record equals itself alone
        if (!refused.isEmpty()) {
            letGo = Math.min(letGo, refused.get(0).slot());
        }
        return refused;
    }

    /** Worker: the running record waits for its next try; false if it must be let go, since its partition is closing. */
    synchronized boolean waits(Instant until) {
        if (!partition.mayStay(queue.getFirst())) {
            return false;
        }
        state = State.WAITING;
        due = until;
        return true;
    }

    /** Worker: the running record must run alone, so its lane comes again; false if it must be let go. */
    synchronized boolean comesAgain() {
        boolean stays = partition.mayStay(queue.getFirst());
        state = stays ? State.READY : state;
        return stays;
    }

    /** Worker: all that runs is let go, unfinished; nothing behind it is started any more. */
    synchronized List<InFlight> letGo() {
        List<InFlight> all = new ArrayList<>();
        while (all.size() < running) {
            all.add(queue.removeFirst());
        }
        letGo = Math.min(letGo, all.get(0).slot());
        state = State.IDLE;
        running = 1;
        return all;
    }

    /** Worker: the running record's letter is about to be sent. */
    synchronized void sends() {
        state = State.SENDING;
    }

    /** Any thread: the wait or the sending is over; true if the lane must be given to the workers. */
    @Override
    public synchronized boolean wake() {
        if (state != State.WAITING && state != State.SENDING && state != State.HELD) {
            return false;
        }
        state = queue.isEmpty() ? State.IDLE : State.READY;
        return state == State.READY;
    }

    @Override
    public synchronized boolean isWaiting() {
        return state == State.WAITING;
    }

    // ---- a closing partition; all on the poll thread

    /** The highest slot that has ended or will, since it is at work. */
    private synchronized long reached() {
        return queue.stream().limit(busy()).mapToLong(InFlight::slot).max().orElse(lastEnded);
    }

    /** The slot that does not end by then, whatever is started; {@link Long#MAX_VALUE} if there is none. */
    private synchronized long stuckBefore(Instant then) {
        InFlight head = queue.peekFirst();
        boolean stuck = head != null && (state == State.HELD || state == State.WAITING && due.isAfter(then));
        return stuck ? head.slot() : letGo;
    }

    /** Drops what the partition no longer allows to start; true if something is left to start, so that workers must know. */
    private boolean dropRefused(List<? super InFlight> dropped) {
        int before = dropped.size();
        boolean ready = drop(dropped);
        open -= dropped.size() - before;
        return ready;
    }

    private synchronized boolean drop(List<? super InFlight> dropped) {
        int busy = busy();
        while (queue.size() > busy && !mayStart(queue.getLast())) {
            dropped.add(queue.removeLast());
        }
        boolean hurry = state == State.READY && !hurries;
        if (queue.isEmpty()) {
            state = State.IDLE;
            hurry = false;
        } else if (state == State.IDLE) {
            state = State.READY; // a worker has left it while nothing was allowed to start
            hurry = true;
        }
        hurries |= hurry;
        return hurry;
    }

    /** How many records at the queue's head are at work. Guarded by this. */
    private int busy() {
        boolean works = state == State.RUNNING || state == State.SENDING || state == State.READY && isSettling();
        return works ? Math.min(running, queue.size()) : 0;
    }

    /** Whether the first record's letter has been sent, which is seen through to its end. Guarded by this. */
    private boolean isSettling() {
        InFlight head = queue.peekFirst();
        return head != null && head.hasSendResult();
    }

    /** Guarded by this. */
    private boolean mayStart(InFlight record) {
        return record.slot() < letGo && partition.mayStart(record);
    }

    /** The lanes of one partition that have records. Poll thread only. */
    static final class Lanes {

        private final Map<ByteBuffer, KeyLane> keyed = new HashMap<>();
        private final Set<KeyLane> unkeyed = new HashSet<>();

        /** A new lane; each record without a key has one of its own. */
        KeyLane add(Partition partition, @Nullable ByteBuffer key) {
            KeyLane lane = new KeyLane(partition, key);
            if (key == null) {
                unkeyed.add(lane);
            } else {
                keyed.put(key, lane);
            }
            return lane;
        }

        void remove(KeyLane quiet) {
            ByteBuffer key = quiet.key();
            if (key == null) {
                unkeyed.remove(quiet);
            } else {
                keyed.remove(key, quiet);
            }
        }

        @Nullable
        KeyLane get(ByteBuffer key) {
            return keyed.get(key);
        }

        Collection<KeyLane> keyed() {
            return keyed.values();
        }

        List<Collection<KeyLane>> all() {
            return List.of(keyed.values(), unkeyed);
        }

        /**
         * The slot up to which finishing everything lets more be committed: not above what has ended or is at work, and not above
         * what does not end by then.
         */
        long worthFinishing(long highestEnded, Instant then) {
            long reached = highestEnded;
            long stuck = Long.MAX_VALUE;
            for (Collection<KeyLane> some : all()) {
                for (KeyLane lane : some) {
                    reached = Math.max(reached, lane.reached());
                    stuck = Math.min(stuck, lane.stuckBefore(then));
                }
            }
            return Math.min(reached, stuck - 1);
        }

        /** Drops what the partition no longer allows to start, and gives those that have something to start to the workers. */
        List<InFlight> dropRefused(Consumer<? super KeyLane> ready) {
            List<InFlight> dropped = new ArrayList<>();
            for (Collection<KeyLane> some : all()) {
                some.stream().filter(lane -> lane.dropRefused(dropped)).forEach(ready);
                some.removeIf(lane -> lane.open == 0);
            }
            return dropped;
        }
    }
}
