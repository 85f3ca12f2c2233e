package dev.eventbus.consumer;

import dev.eventbus.consumer.KeyLane.Report;
import dev.eventbus.consumer.LaneWorkers.Progress;
import dev.eventbus.internal.Fatal;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A worker's turn with several lanes at once, whose records share one step. It takes what is ready, at most as much as the step
 * has room for and for at most 20 ms, and waits for nothing. What has not ended in the step begins again by itself, with its
 * successors in the lane behind it.
 *
 * <p>A record is decoded by the user's codec before it joins, which may never return. So the turn is left to all workers meanwhile, and
 * once its time to collect is over another runs what it has.
 */
final class SharedTurn {

    /** One step of several records: of different lanes, and of one lane in their order. One thread's own. */
    interface Together {

        /**
         * Makes a record ready to be taken, which may take long, or for ever: of what was collected before only its own lane is held
         * meanwhile, and the step may be run by another thread.
         *
         * @return false if the step cannot take it
         */
        default boolean prepares(InFlight record) {
            return true;
        }

        /** Takes one more record into the step, without delay; false if it cannot, as it does to one that is not prepared. */
        boolean takes(InFlight record);

        /** How many more it can take. */
        int room();

        /**
         * Runs the step.
         *
         * @return what came of each record, in the order taken: Ended, Stops or ByItself; in a lane nothing has ended behind one that has
         *     not
         */
        List<Progress> advance();
    }

    /** A lane, and those of its records that are in the step. */
    private record Share(KeyLane lane, List<InFlight> records) {
        InFlight last() {
            return records.get(records.size() - 1);
        }
    }

    /** Turns of one runner whose workers prepare a record. Thread-safe. */
    static final class Left {

        private final Queue<SharedTurn> turns = new ConcurrentLinkedQueue<>();

        private void add(SharedTurn turn) {
            turns.add(turn);
        }

        /** False if another has taken it over. */
        private boolean takeBack(SharedTurn turn) {
            return turns.remove(turn);
        }

        /** Whether one should be in its step by now, and its worker is not back. */
        boolean isAnyLate() {
            return turns.stream().anyMatch(SharedTurn::isOver);
        }

        /** Runs one that is late, in the place of its worker; false if there is none. */
        boolean runLate() {
            for (SharedTurn turn : turns) {
                if (turn.isOver() && turns.remove(turn)) {
                    turn.putBackRefused();
                    turn.runCollected();
                    return true;
                }
            }
            return false;
        }
    }

    private static final Logger LOG = LoggerFactory.getLogger(SharedTurn.class);

    private static final long NANOS_TO_COLLECT = TimeUnit.MILLISECONDS.toNanos(20);

    private final LaneWorkers workers;
    private final Together step;
    private final List<Share> shares = new ArrayList<>();

    /** Lanes that it has looked at and could not take. */
    private final Deque<KeyLane> refused = new ArrayDeque<>();

    private final long beganNanos = System.nanoTime();

    /** Whether another worker has run it. Only for the worker that began it. */
    private boolean isLost;

    /** @param record the running one of the lane, with which the step was begun */
    SharedTurn(LaneWorkers workers, Together step, KeyLane lane, InFlight record) {
        this.workers = workers;
        this.step = step;
        add(lane, record, prepared(lane, step.room()));
    }

    /** Collects and runs the step; false, with nothing done, if the first record would be the only one in it. */
    boolean run() {
        collect();
        if (!isLost && records() == 1) {
            return false;
        }
        if (!isLost) {
            runCollected();
        }
        return true;
    }

    private int records() {
        return shares.stream().mapToInt(share -> share.records().size()).sum();
    }

    private void runCollected() {
        if (!shares.stream().allMatch(share -> share.lane().partition().mayStay(share.last()))) {
            // handed over meanwhile: what may stay begins again
            shares.forEach(share -> beginsAgain(share.lane(), workers::takeBack));
            return;
        }
        int records = records();
        workers.runsMore(records - 1);
        try {
            settle(advance(records));
        } finally {
            workers.runsMore(1 - records);
        }
    }

    /** Those that other steps gave back are looked at too, some of them; what this one refuses keeps its place among them. */
    private void collect() {
        int looks = 2 * step.room();
        while (looks > 0 && collect(workers::takeFirst, refused::push)) {
            looks--;
        }
        if (!isLost) {
            putBackRefused();
        }
        while (collect(workers::takeReady, workers::takeBack)) {}
    }

    private void putBackRefused() {
        refused.forEach(workers::putBack);
        refused.clear();
    }

    /** False if there is no lane, no room or time for one more, or the turn is another worker's by now. */
    private boolean collect(Supplier<@Nullable KeyLane> from, Consumer<KeyLane> refuse) {
        KeyLane lane = !isLost && step.room() > 0 && !isOver() ? from.get() : null;
        if (lane == null) {
            return false;
        }
        InFlight record = lane.begin();
        if (record == null) {
            return true;
        }
        int more = step.room() - 1;
        workers.left.add(this);
        boolean fits = step.prepares(record);
        List<InFlight> behind = fits ? prepared(lane, more) : List.of();
        isLost = !workers.left.takeBack(this);
        if (!isLost && fits && step.takes(record)) {
            add(lane, record, behind);
        } else {
            beginsAgain(lane, isLost ? workers::takeBack : refuse);
        }
        return !isLost;
    }

    /** What runs behind the lane's first record from now, as far as the step can take it. */
    private List<InFlight> prepared(KeyLane lane, int most) {
        List<InFlight> prepared = new ArrayList<>();
        for (InFlight next : lane.runsMore(most)) {
            if (!step.prepares(next)) {
                break;
            }
            prepared.add(next);
        }
        return prepared;
    }

    /** As for any turn, time ends it only where others run beside it. */
    private boolean isOver() {
        return workers.haveThreads() && System.nanoTime() - beganNanos > NANOS_TO_COLLECT;
    }

    private void add(KeyLane lane, InFlight record, List<InFlight> behind) {
        List<InFlight> records = new ArrayList<>(List.of(record));
        for (InFlight next : behind) {
            if (!step.takes(next)) {
                break;
            }
            records.add(next);
        }
        letGo(lane, lane.runsOnly(records.size()));
        shares.add(new Share(lane, records));
    }

    private List<Progress> advance(int records) {
        try {
            return step.advance();
        } catch (Throwable e) {
            Fatal.rethrow(e);
            LOG.error("BUG, please report: {} records could not be advanced together; each runs by itself", records, e);
            return Collections.nCopies(records, Progress.BY_ITSELF);
        }
    }

    private void settle(List<Progress> came) {
        int at = 0;
        for (Share share : shares) {
            settle(share, came.subList(at, at + share.records().size()));
            at += share.records().size();
        }
    }

    private void settle(Share share, List<Progress> came) {
        KeyLane lane = share.lane();
        int ended = 0;
        while (ended < came.size() && came.get(ended) instanceof Progress.Ended) {
            ended++;
        }
        boolean all = ended == came.size();
        lane.ended(all ? ended - 1 : ended);
        boolean later = all && lane.nextLater();
        for (InFlight record : share.records().subList(0, ended)) {
            workers.report(new Report.Ended(lane, record));
        }
        if (later) {
            workers.ready(lane);
        } else if (!all && came.get(ended) instanceof Progress.Stops stops) {
            stops(lane, share.records().get(ended), stops);
        } else if (!all) {
            share.records().subList(ended, came.size()).forEach(InFlight::runsByItself);
            beginsAgain(lane, workers::takeBack);
        }
    }

    private void stops(KeyLane lane, InFlight first, Progress.Stops stops) {
        lane.partition().stopsAt(first);
        List<InFlight> letGo = lane.letGo();
        workers.report(new Report.Stops(lane, first, stops.why()));
        letGo(lane, letGo.subList(1, letGo.size()));
    }

    private void beginsAgain(KeyLane lane, Consumer<KeyLane> ready) {
        List<InFlight> letGo = lane.beginsAgain();
        letGo(lane, letGo);
        ready.accept(lane);
    }

    private void letGo(KeyLane lane, List<InFlight> records) {
        for (InFlight record : records) {
            workers.report(new Report.LetGo(lane, record));
        }
    }
}
