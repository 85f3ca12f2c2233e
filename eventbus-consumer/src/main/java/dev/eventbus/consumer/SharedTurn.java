package dev.eventbus.consumer;

import dev.eventbus.consumer.KeyLane.Report;
import dev.eventbus.consumer.LaneWorkers.Progress;
import dev.eventbus.internal.Fatal;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
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
 */
final class SharedTurn {

    /** One step of several records: of different lanes, and of one lane in their order. One thread's own. */
    interface Together {

        /** Takes one more record into the step; false if it cannot. */
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
    private record Share(KeyLane lane, List<InFlight> records) {}

    private static final Logger LOG = LoggerFactory.getLogger(SharedTurn.class);

    private static final long NANOS_TO_COLLECT = TimeUnit.MILLISECONDS.toNanos(20);

    private final LaneWorkers workers;
    private final Together step;
    private final List<Share> shares = new ArrayList<>();
    private final long beganNanos = System.nanoTime();

    /** @param record the running one of the lane, with which the step was begun */
    SharedTurn(LaneWorkers workers, Together step, KeyLane lane, InFlight record) {
        this.workers = workers;
        this.step = step;
        add(lane, record);
    }

    /** Collects and runs the step; false, with nothing done, if the first record would be the only one in it. */
    boolean run() {
        collect();
        int records = shares.stream().mapToInt(share -> share.records().size()).sum();
        if (records == 1) {
            return false;
        }
        workers.runsMore(records - 1);
        try {
            settle(advance(records));
        } finally {
            workers.runsMore(1 - records);
        }
        return true;
    }

    /** Those that other steps gave back are looked at too, some of them; what this one refuses keeps its place among them. */
    private void collect() {
        Deque<KeyLane> refused = new ArrayDeque<>();
        int looks = 2 * step.room();
        while (looks > 0 && collect(workers::takeFirst, refused::push)) {
            looks--;
        }
        refused.forEach(workers::putBack);
        while (collect(workers::takeReady, workers::takeBack)) {}
    }

    /** False if there is no lane, or no room or time for one more. */
    private boolean collect(Supplier<@Nullable KeyLane> from, Consumer<KeyLane> refused) {
        KeyLane lane = step.room() > 0 && !isOver() ? from.get() : null;
        if (lane == null) {
            return false;
        }
        InFlight record = lane.begin();
        if (record != null && step.takes(record)) {
            add(lane, record);
        } else if (record != null) {
            beginsAgain(lane, refused);
        }
        return true;
    }

    /** As for any turn, time ends it only where others run beside it. */
    private boolean isOver() {
        return workers.haveThreads() && System.nanoTime() - beganNanos > NANOS_TO_COLLECT;
    }

    private void add(KeyLane lane, InFlight record) {
        List<InFlight> records = new ArrayList<>(List.of(record));
        for (InFlight next : lane.runsMore(step.room())) {
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
