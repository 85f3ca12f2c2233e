package dev.eventbus.consumer;

import dev.eventbus.consumer.LaneWorkers.Progress;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.jetbrains.lincheck.datastructures.IntGen;
import org.jetbrains.lincheck.datastructures.ManagedStrategyGuaranteeKt;
import org.jetbrains.lincheck.datastructures.ModelCheckingOptions;
import org.jetbrains.lincheck.datastructures.Operation;
import org.jetbrains.lincheck.datastructures.Param;
import org.jetbrains.lincheck.datastructures.Validate;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;

/** What the poll thread and workers share, in the interleavings that a model checker (Lincheck) makes of small scenarios. */
@Isolated("instruments the classes of the whole JVM: beside it simulations take ten times as long")
class InterleavingsTest {

    private static final TopicPartition ID = new TopicPartition("t", 0);

    private static final List<ConsumerRecord<byte[], byte[]>> RECORDS = IntStream.range(0, 20)
            .mapToObj(offset -> new ConsumerRecord<>("t", 0, offset, new byte[0], new byte[0]))
            .toList();

    @Test
    void a_lane_is_linearizable_and_starts_nothing_that_its_partition_has_refused() {
        exploring()
                .threads(2)
                .actorsPerThread(4)
                .sequentialSpecification(LaneModel.class)
                .check(Lane.class);
    }

    @Test
    void no_ready_lane_is_left_without_a_worker() {
        exploring().iterations(5).threads(2).actorsPerThread(3).check(Workers.class);
    }

    @Test
    void a_lane_whose_letter_ends_at_any_moment_goes_on_once_and_nothing_of_it_begins_before() {
        exploring().iterations(2).threads(3).actorsPerThread(2).check(Letters.class);
    }

    @Test
    void what_a_shared_step_gives_back_is_handled_once_in_order_or_let_go_whenever_its_partition_closes() {
        exploring().iterations(6).threads(2).actorsPerThread(4).check(Together.class);
    }

    /** Nothing happens afterwards that could mend what was left; registering is the poll thread's own affair. */
    private static ModelCheckingOptions exploring() {
        return new ModelCheckingOptions()
                .iterations(10)
                .invocationsPerIteration(100)
                .actorsAfter(0)
                .addGuarantee(ManagedStrategyGuaranteeKt.forClasses(Partition.class.getName())
                        .methods("register")
                        .ignore());
    }

    /** A lane between the poll thread and one worker, which holds to its protocol. */
    public static class Lane {

        private final Partition partition = new Partition(ID, 1);
        private final KeyLane lane = new KeyLane(partition, ByteBuffer.allocate(1));

        /** The poll thread's. */
        private int offset;

        /** The worker's. */
        private @Nullable InFlight running;

        @Operation(nonParallelGroup = "poll thread")
        public boolean read() {
            return lane.add(partition.register(RECORDS.get(offset++)));
        }

        @Operation(nonParallelGroup = "poll thread")
        public boolean startOnlyUpTo(@Param(gen = IntGen.class, conf = "0:3") int slot) {
            return partition.startOnlyUpTo(slot);
        }

        /** The offset that runs now; -1 for none. */
        @Operation(nonParallelGroup = "worker")
        public long step() {
            running = running == null ? lane.begin() : lane.next();
            return running == null ? -1 : running.record().offset();
        }
    }

    /** What a lane does when one thing happens after the other. */
    public static class LaneModel {

        private final Queue<Integer> waiting = new ArrayDeque<>();
        private KeyLane.State state = KeyLane.State.IDLE;
        private int offset;
        private int bound = Integer.MAX_VALUE;

        public boolean read() {
            waiting.add(offset++);
            boolean becomesReady = state == KeyLane.State.IDLE;
            state = becomesReady ? KeyLane.State.READY : state;
            return becomesReady;
        }

        public boolean startOnlyUpTo(int slot) {
            boolean isNews = slot < bound;
            bound = Math.min(bound, slot);
            return isNews;
        }

        public long step() {
            if (state == KeyLane.State.RUNNING) {
                waiting.remove();
            }
            boolean starts = state != KeyLane.State.IDLE && !waiting.isEmpty() && waiting.element() <= bound;
            state = starts ? KeyLane.State.RUNNING : KeyLane.State.IDLE;
            return starts ? waiting.element() : -1;
        }
    }

    /** Two lanes for one worker of an executor whose tasks any thread may run at any time: another would take what is left behind. */
    public static class Workers {

        private final Queue<Runnable> executor = new ConcurrentLinkedQueue<>();
        private final Queue<InFlight> handled = new ConcurrentLinkedQueue<>();
        private final LaneWorkers workers =
                new LaneWorkers(executor::add, 1, this::handle, () -> Instant.EPOCH, error -> {});
        private final Partition partition = new Partition(ID, 1);
        private final List<KeyLane> lanes = twoLanes(partition);

        /** Of each lane; the poll thread's. */
        private final List<List<InFlight>> read = List.of(new ArrayList<>(), new ArrayList<>());

        private int offset;

        private Progress handle(InFlight record) {
            handled.add(record);
            return Progress.ENDED;
        }

        @Operation(nonParallelGroup = "poll thread")
        public void read(@Param(gen = IntGen.class, conf = "0:1") int key) {
            InFlight record = partition.register(RECORDS.get(offset++));
            read.get(key).add(record);
            if (lanes.get(key).add(record)) {
                workers.ready(lanes.get(key));
            }
        }

        @Operation
        public void run() {
            Runnable task = executor.poll();
            if (task != null) {
                task.run();
            }
        }

        @Validate
        public void all_is_handled_once_in_the_order_of_its_lane_when_the_executor_has_done_what_it_was_given() {
            for (Runnable task = executor.poll(); task != null; task = executor.poll()) {
                task.run();
            }
            for (List<InFlight> lane : read) {
                List<InFlight> ofLane = handled.stream().filter(lane::contains).toList();
                if (!ofLane.equals(lane)) {
                    throw new IllegalStateException("%d records were read, %d handled, or in another order"
                            .formatted(lane.size(), ofLane.size()));
                }
            }
        }
    }

    /** Two lanes whose records all die: each is sent as a letter before the next of its lane begins. */
    public static class Letters {

        private final Queue<Runnable> executor = new ConcurrentLinkedQueue<>();
        private final Queue<CompletableFuture<Void>> onTheirWay = new ConcurrentLinkedQueue<>();
        private final Queue<InFlight> sent = new ConcurrentLinkedQueue<>();
        private final Queue<InFlight> ended = new ConcurrentLinkedQueue<>();
        private final LaneWorkers workers =
                new LaneWorkers(executor::add, 1, this::advance, () -> Instant.EPOCH, error -> {});
        private final Partition partition = new Partition(ID, 1);
        private final List<KeyLane> lanes = twoLanes(partition);

        /** Of each lane; the poll thread's. */
        private final List<List<InFlight>> read = List.of(new ArrayList<>(), new ArrayList<>());

        private int offset;

        private Progress advance(InFlight record) {
            if (record.takeSendResult() != null) {
                ended.add(record);
                return Progress.ENDED;
            }
            sent.add(record);
            CompletableFuture<Void> letter = new CompletableFuture<>();
            onTheirWay.add(letter);
            return new Progress.Sends(letter);
        }

        @Operation(nonParallelGroup = "poll thread")
        public void read(@Param(gen = IntGen.class, conf = "0:1") int key) {
            InFlight record = partition.register(RECORDS.get(offset++));
            read.get(key).add(record);
            if (lanes.get(key).add(record)) {
                workers.ready(lanes.get(key));
            }
        }

        @Operation(nonParallelGroup = "poll thread")
        public void look() {
            workers.hire();
        }

        @Operation
        public void run() {
            Runnable task = executor.poll();
            if (task != null) {
                task.run();
            }
        }

        @Operation(nonParallelGroup = "the producer's thread")
        public void acknowledge() {
            CompletableFuture<Void> letter = onTheirWay.poll();
            if (letter != null) {
                letter.complete(null);
            }
        }

        @Validate
        public void each_is_sent_once_and_ends_before_the_next_of_its_lane_is_sent() {
            for (int idle = 0; idle < 3; idle = executor.isEmpty() && onTheirWay.isEmpty() ? idle + 1 : 0) {
                run();
                acknowledge();
                look();
            }
            for (List<InFlight> lane : read) {
                mustBe(lane, sent.stream().filter(lane::contains).toList());
                mustBe(lane, ended.stream().filter(lane::contains).toList());
            }
        }
    }

    /** Two lanes whose records share steps; what follows a record that fails in one is given back, and runs by itself. */
    public static class Together {

        private static final int FAILS = 1;

        private final Queue<Runnable> executor = new ConcurrentLinkedQueue<>();
        private final LaneWorkers workers =
                new LaneWorkers(executor::add, 2, new InSteps(), () -> Instant.EPOCH, error -> {});
        private final Partition partition = new Partition(ID, 1);
        private final List<KeyLane> lanes = List.of(
                partition.lanes.add(partition, ByteBuffer.allocate(1)),
                partition.lanes.add(partition, ByteBuffer.allocate(1).put(0, (byte) 1)));

        // The poll thread's.
        private final List<List<InFlight>> read = List.of(new ArrayList<>(), new ArrayList<>());
        private final List<InFlight> dropped = new ArrayList<>();
        private int offset;

        private static final class InSteps implements LaneWorkers.Work {

            @Override
            public Progress advance(InFlight record) {
                return Progress.ENDED;
            }

            @Override
            public SharedTurn.@Nullable Together together(InFlight first) {
                return first.isUntried() ? new Step(first) : null;
            }
        }

        private static final class Step implements SharedTurn.Together {

            private final List<InFlight> records = new ArrayList<>();

            Step(InFlight first) {
                records.add(first);
            }

            @Override
            public boolean takes(InFlight record) {
                return record.isUntried() && records.add(record);
            }

            @Override
            public int room() {
                return 3 - records.size();
            }

            @Override
            public List<Progress> advance() {
                boolean fails = records.stream().anyMatch(record -> record.slot() == FAILS);
                return records.stream()
                        .map(record -> fails ? Progress.BY_ITSELF : Progress.ENDED)
                        .toList();
            }
        }

        @Operation(nonParallelGroup = "poll thread")
        public void read(@Param(gen = IntGen.class, conf = "0:1") int key) {
            if (!partition.isClosed()) {
                InFlight record = partition.register(RECORDS.get(offset++));
                read.get(key).add(record);
                if (lanes.get(key).add(record)) {
                    workers.ready(lanes.get(key));
                }
            }
        }

        @Operation(nonParallelGroup = "poll thread")
        public void close(@Param(gen = IntGen.class, conf = "0:3") int slot) {
            if (partition.startOnlyUpTo(slot)) {
                dropped.addAll(partition.dropRefused(workers::ready));
            }
        }

        @Operation
        public void run() {
            Runnable task = executor.poll();
            if (task != null) {
                task.run();
            }
        }

        @Validate
        public void all_that_was_read_has_ended_in_the_order_of_its_lane_or_was_let_go_behind_that() {
            for (Runnable task = executor.poll(); task != null; task = executor.poll()) {
                task.run();
            }
            List<InFlight> ended = new ArrayList<>();
            for (KeyLane.Report report = workers.nextReport(); report != null; report = workers.nextReport()) {
                (report instanceof KeyLane.Report.Ended ? ended : dropped).add(report.record());
            }
            for (List<InFlight> lane : read) {
                List<InFlight> ofLane =
                        new ArrayList<>(ended.stream().filter(lane::contains).toList());
                lane.stream().filter(dropped::contains).forEach(ofLane::add);
                mustBe(lane, ofLane);
            }
        }
    }

    private static List<KeyLane> twoLanes(Partition partition) {
        return IntStream.range(0, 2)
                .mapToObj(key -> new KeyLane(partition, ByteBuffer.allocate(1).put(0, (byte) key)))
                .toList();
    }

    private static void mustBe(List<InFlight> read, List<InFlight> came) {
        if (!came.equals(read)) {
            throw new IllegalStateException("%s were read, and it came to %s".formatted(slots(read), slots(came)));
        }
    }

    private static List<Long> slots(List<InFlight> records) {
        return records.stream().map(InFlight::slot).toList();
    }
}
