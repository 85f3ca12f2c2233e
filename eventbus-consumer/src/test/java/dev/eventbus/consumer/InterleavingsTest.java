package dev.eventbus.consumer;

import dev.eventbus.consumer.LaneWorkers.Progress;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
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

/** What the poll thread and workers share, in the interleavings that a model checker (Lincheck) makes of small scenarios. */
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
        exploring().threads(2).actorsPerThread(3).check(Workers.class);
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
        private final List<KeyLane> lanes = IntStream.range(0, 2)
                .mapToObj(key -> new KeyLane(partition, ByteBuffer.allocate(1).put(0, (byte) key)))
                .toList();

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
}
