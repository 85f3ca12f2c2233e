package dev.eventbus.consumer;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AssignedPartitions.Partition;
import dev.eventbus.consumer.KeyLane.Report;
import dev.eventbus.consumer.LaneWorkers.Progress;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Properties of lanes and workers (I4, I5), in seeded lives with an executor and a clock by hand, then with real threads. */
class LaneWorkersTest {

    private static final Instant NOW = Instant.parse("2030-01-01T00:00:00Z");

    @Test
    void keeps_its_properties_in_every_seeded_life() {
        for (int seed = 0; seed < 3_000; seed++) {
            new Life(seed).live();
        }
    }

    @Test
    void a_busy_key_gives_way_after_16_records() {
        List<String> order = new ArrayList<>();
        LaneWorkers workers = new LaneWorkers(
                null,
                1,
                record -> {
                    order.add(new String(record.record().key(), UTF_8));
                    return Progress.ENDED;
                },
                () -> NOW,
                e -> {});
        Partition partition = partition();
        KeyLane busy = new KeyLane(partition, ByteBuffer.wrap("busy".getBytes(UTF_8)));
        KeyLane quiet = new KeyLane(partition, ByteBuffer.wrap("quiet".getBytes(UTF_8)));
        for (int i = 0; i < 100; i++) {
            if (busy.add(partition.register(record(i, "busy")))) {
                workers.ready(busy);
            }
        }
        if (quiet.add(partition.register(record(100, "quiet")))) {
            workers.ready(quiet);
        }
        workers.runHere();
        assertThat(order).hasSize(101);
        assertThat(order.indexOf("quiet")).isEqualTo(16);
    }

    @Test
    void a_bug_in_a_step_holds_its_key_only_and_loses_nothing() {
        LaneWorkers workers = new LaneWorkers(
                null,
                1,
                record -> {
                    throw new IllegalStateException("bug");
                },
                () -> NOW,
                e -> {});
        Partition partition = partition();
        KeyLane lane = new KeyLane(partition, null);
        lane.add(partition.register(record(0, "k")));
        workers.ready(lane);
        workers.runHere();
        assertThat(workers.nextReport()).isInstanceOf(Report.Waits.class);
        assertThat(lane.wake()).isTrue();
    }

    @Test
    void whatever_a_step_throws_holds_its_key_only_but_a_broken_JVM_is_told() {
        List<Error> told = new ArrayList<>();
        Deque<Error> thrown = new ArrayDeque<>(
                List.of(new NoClassDefFoundError(), new AssertionError(), new Error(), new OutOfMemoryError()));
        LaneWorkers workers = new LaneWorkers(
                null,
                1,
                record -> {
                    throw thrown.remove();
                },
                () -> NOW,
                told::add);
        Partition partition = partition();
        for (int i = 0; i < 4; i++) {
            KeyLane lane = new KeyLane(partition, null);
            lane.add(partition.register(record(i, "k")));
            workers.ready(lane);
        }
        workers.runHere();
        for (int i = 0; i < 3; i++) {
            assertThat(workers.nextReport()).isInstanceOf(Report.Waits.class);
        }
        assertThat(workers.nextReport()).isNull();
        assertThat(told).singleElement().isInstanceOf(OutOfMemoryError.class);
    }

    @Test
    void the_thread_that_ends_a_letter_never_runs_user_code_even_if_the_executor_would() {
        List<CompletableFuture<Void>> letters = new ArrayList<>();
        List<InFlight> settled = new ArrayList<>();
        LaneWorkers workers = new LaneWorkers(
                Runnable::run,
                1,
                record -> {
                    if (record.takeSendResult() != null) {
                        settled.add(record);
                        return Progress.ENDED;
                    }
                    CompletableFuture<Void> letter = new CompletableFuture<>();
                    letters.add(letter);
                    return new Progress.Sends(letter);
                },
                () -> NOW,
                e -> {});
        KeyLane lane = new KeyLane(partition(), null);
        lane.add(lane.partition().register(record(0, "k")));
        workers.ready(lane);
        letters.get(0).complete(null);
        assertThat(settled).isEmpty();
        workers.hire();
        assertThat(settled).hasSize(1);
    }

    @Test
    void an_executor_that_refuses_for_a_second_is_a_problem_until_it_takes_work_again() {
        Instant[] now = {NOW};
        boolean[] refuses = {true};
        LaneWorkers workers = new LaneWorkers(
                task -> {
                    if (refuses[0]) {
                        throw new RejectedExecutionException();
                    }
                    task.run();
                },
                1,
                record -> Progress.ENDED,
                () -> now[0],
                e -> {});
        KeyLane lane = new KeyLane(partition(), null);
        lane.add(lane.partition().register(record(0, "k")));
        workers.ready(lane);
        assertThat(workers.problem()).as("a full queue is no news").isNull();
        now[0] = NOW.plusSeconds(2);
        workers.hire();
        assertThat(workers.problem()).contains("executor", "RejectedExecutionException");
        refuses[0] = false;
        workers.hire();
        assertThat(workers.problem()).isNull();
        assertThat(workers.nextReport()).isInstanceOf(Report.Ended.class);
    }

    @Test
    void a_lane_that_gives_way_keeps_nothing_running_whether_it_is_closed_before_or_after() {
        for (boolean closedBefore : new boolean[] {true, false}) {
            Partition partition = partition();
            KeyLane lane = new KeyLane(partition, null);
            lane.add(partition.register(record(0, "k")));
            lane.add(partition.register(record(1, "k")));
            List<InFlight> dropped = new ArrayList<>();
            assertThat(lane.begin()).isNotNull();
            if (closedBefore) {
                partition.close();
                lane.closeUnlessBusy(dropped);
                assertThat(lane.nextLater()).isFalse();
            } else {
                assertThat(lane.nextLater()).isTrue();
                partition.close();
                lane.closeUnlessBusy(dropped);
            }
            assertThat(lane.begin()).isNull();
            assertThat(dropped).as("the second record").hasSize(1);
            assertThat(lane.endedLast())
                    .as("the first one's report is the last")
                    .isTrue();
        }
    }

    @Test
    void real_threads_keep_order_and_run_one_record_of_a_key_at_a_time() throws Exception {
        int keys = 50;
        int records = 20_000;
        Map<String, List<Long>> handled = new ConcurrentHashMap<>();
        Set<String> inHandler = ConcurrentHashMap.newKeySet();
        AtomicInteger overlaps = new AtomicInteger();
        CountDownLatch all = new CountDownLatch(records);
        ExecutorService pool = Executors.newFixedThreadPool(8);
        try {
            LaneWorkers workers = new LaneWorkers(
                    pool,
                    8,
                    record -> {
                        String key = new String(record.record().key(), UTF_8);
                        if (!inHandler.add(key)) {
                            overlaps.incrementAndGet();
                        }
                        handled.computeIfAbsent(key, k -> new ArrayList<>())
                                .add(record.record().offset());
                        inHandler.remove(key);
                        all.countDown();
                        return Progress.ENDED;
                    },
                    () -> NOW,
                    e -> {});
            Partition partition = partition();
            Map<String, KeyLane> lanes = new HashMap<>();
            SplittableRandom random = new SplittableRandom(1);
            for (int offset = 0; offset < records; offset++) {
                String key = "k" + random.nextInt(keys);
                KeyLane lane =
                        lanes.computeIfAbsent(key, k -> new KeyLane(partition, ByteBuffer.wrap(k.getBytes(UTF_8))));
                if (lane.add(partition.register(record(offset, key)))) {
                    workers.ready(lane);
                }
            }
            assertThat(all.await(30, TimeUnit.SECONDS)).isTrue();
        } finally {
            pool.shutdownNow();
        }
        assertThat(overlaps).hasValue(0);
        assertThat(handled.values()).allSatisfy(offsets -> assertThat(offsets).isSorted());
    }

    private static Partition partition() {
        return new Partition(new TopicPartition("t", 0), 1);
    }

    private static ConsumerRecord<byte[], byte[]> record(long offset, String key) {
        return new ConsumerRecord<>("t", 0, offset, key.getBytes(UTF_8), new byte[0]);
    }

    /** Records of a few keys whose steps end, wait, send or are let go, while the executor's tasks run when the seed says so. */
    private static final class Life {

        private final int seed;
        private final SplittableRandom random;
        private final ArrayDeque<Runnable> tasks = new ArrayDeque<>();
        private final List<CompletableFuture<Void>> letters = new ArrayList<>();
        private final Map<KeyLane, Long> lastEnded = new HashMap<>();
        private final Map<String, KeyLane> lanes = new HashMap<>();
        private final List<KeyLane> waiting = new ArrayList<>();
        private final Set<Long> permits = new HashSet<>();
        private final Partition partition = partition();
        private final LaneWorkers workers;
        private long offset;
        private int mostTasks;
        private boolean closedWhileCollecting;
        private boolean dropped;
        private final List<String> broken = new ArrayList<>();
        private final boolean closesInside;

        Life(int seed) {
            this.seed = seed;
            this.random = new SplittableRandom(seed);
            this.closesInside = seed % 3 == 0;
            this.workers = new LaneWorkers(
                    tasks::add, 3, seed % 2 == 0 ? this::step : new SteppingTogether(), () -> NOW, e -> {});
        }

        /** As single steps, but now and then several records share one, of which some end and others are left to run alone. */
        private final class SteppingTogether implements LaneWorkers.Work {

            @Override
            public Progress advance(InFlight record) {
                return step(record);
            }

            @Override
            public LaneWorkers.@Nullable Together together(InFlight first) {
                return first.isUntried() && random.nextInt(3) > 0 ? new Shared(first) : null;
            }
        }

        private final class Shared implements LaneWorkers.Together {

            private final List<InFlight> records = new ArrayList<>();

            Shared(InFlight first) {
                records.add(first);
            }

            @Override
            public boolean takes(InFlight record) {
                if (closesInside && random.nextInt(50) == 0) {
                    close(); // all of what the poll thread does, while this one collects
                    closedWhileCollecting = true;
                }
                return record.isUntried() && random.nextInt(5) > 0 && records.add(record);
            }

            @Override
            public int room() {
                return 7 - records.size();
            }

            @Override
            public List<Progress> advance() {
                Map<ByteBuffer, Long> last = new HashMap<>();
                for (InFlight record : records) {
                    Long before = last.put(
                            ByteBuffer.wrap(record.record().key()),
                            record.record().offset());
                    assertThat(before == null || before < record.record().offset())
                            .as("seed %d: in order in a step", seed)
                            .isTrue();
                    KeyLane lane = lanes.get(new String(record.record().key(), UTF_8));
                    assertThat(lane != null && lane.wake())
                            .as("seed %d: a running lane cannot be woken", seed)
                            .isFalse();
                }
                if (closesInside && offset > 30) {
                    close(); // all of what the poll thread does, while this one works
                }
                if (random.nextInt(3) == 0) {
                    return Collections.nCopies(records.size(), Progress.BY_ITSELF);
                }
                Set<ByteBuffer> unfinished = new HashSet<>();
                List<Progress> came = new ArrayList<>();
                for (InFlight record : records) {
                    ByteBuffer key = ByteBuffer.wrap(record.record().key());
                    boolean ends = !unfinished.contains(key) && random.nextInt(4) > 0;
                    if (!ends) {
                        unfinished.add(key);
                    }
                    came.add(ends ? Progress.ENDED : Progress.BY_ITSELF);
                }
                return came;
            }
        }

        private Progress step(InFlight record) {
            InFlight.Sent sent = record.takeSendResult();
            expect(
                    sent != null || !partition.isClosed() || closedWhileCollecting,
                    "nothing begins once the partition is closed");
            expectAwake(record);
            if (closesInside && offset > 30) {
                partition.close(); // as the poll thread does while this one works
            }
            if (sent != null) {
                return sent.failure() == null ? Progress.ENDED : new Progress.Waits(Duration.ofSeconds(1), "letter");
            }
            return switch (random.nextInt(10)) {
                case 0, 1 -> new Progress.Waits(Duration.ofSeconds(1), null);
                case 2 -> {
                    CompletableFuture<Void> letter = new CompletableFuture<>();
                    letters.add(letter);
                    yield new Progress.Sends(letter);
                }
                default -> Progress.ENDED;
            };
        }

        private void expectAwake(InFlight record) {
            KeyLane lane = lanes.get(new String(record.record().key(), UTF_8));
            expect(lane == null || !lane.wake(), "a running lane cannot be woken");
        }

        /** Kept until the end: what a step throws is caught by the workers. */
        private void expect(boolean holds, String what) {
            if (!holds) {
                broken.add(what);
            }
        }

        void live() {
            for (int i = 0; i < 200; i++) {
                switch (random.nextInt(5)) {
                    case 0, 1 -> read();
                    case 2 -> work();
                    case 3 -> wakeOne();
                    default -> acknowledgeOne();
                }
                take();
            }
            boolean closes = closesInside || random.nextBoolean();
            if (closes) {
                close();
            }
            settle();
            assertThat(broken).as("seed %d", seed).isEmpty();
            assertThat(permits).as("seed %d: every permit has come back", seed).isEmpty();
            assertThat(mostTasks)
                    .as("seed %d: no more workers than allowed", seed)
                    .isLessThanOrEqualTo(3);
            if (!closes) {
                assertThat(partition.offsets().committable()).isEqualTo(offset == 0 ? OffsetTracker.NOTHING : offset);
            }
        }

        private void read() {
            if (dropped) {
                return;
            }
            String key = "k" + random.nextInt(4);
            InFlight record = partition.register(record(offset++, key));
            permits.add(record.slot());
            KeyLane lane = lanes.computeIfAbsent(key, k -> new KeyLane(partition, ByteBuffer.wrap(k.getBytes(UTF_8))));
            if (lane.add(record)) {
                workers.ready(lane);
            }
            mostTasks = Math.max(mostTasks, tasks.size());
        }

        private void work() {
            Runnable task = tasks.poll();
            if (task != null) {
                task.run();
            }
        }

        private void wakeOne() {
            if (!waiting.isEmpty()) {
                KeyLane lane = waiting.remove(random.nextInt(waiting.size()));
                if (lane.wake()) {
                    workers.ready(lane);
                }
            }
        }

        private void acknowledgeOne() {
            if (!letters.isEmpty()) {
                CompletableFuture<Void> letter = letters.remove(random.nextInt(letters.size()));
                if (random.nextInt(4) == 0) {
                    letter.completeExceptionally(new IllegalStateException("not sent"));
                } else {
                    letter.complete(null);
                }
            }
        }

        private void take() {
            workers.hire();
            for (Report report = workers.nextReport(); report != null; report = workers.nextReport()) {
                if (report instanceof Report.Waits) {
                    waiting.add(report.lane());
                    continue;
                }
                assertThat(permits.remove(report.record().slot()))
                        .as("seed %d: %s returns its permit once", seed, report)
                        .isTrue();
                if (report instanceof Report.Ended) {
                    long ended = report.record().record().offset();
                    Long before = lastEnded.put(report.lane(), ended);
                    assertThat(before == null || before < ended)
                            .as("seed %d: %d after %d in one lane", seed, ended, before)
                            .isTrue();
                    partition.offsets().ended(report.record().slot());
                }
            }
        }

        /** Once, as a hand-over does: what a worker had in hand then must come back by itself. */
        private void close() {
            if (dropped) {
                return;
            }
            dropped = true;
            partition.close();
            List<InFlight> dropped = new ArrayList<>();
            lanes.values().forEach(lane -> lane.closeUnlessBusy(dropped));
            for (InFlight record : dropped) {
                assertThat(permits.remove(record.slot()))
                        .as("seed %d: dropped once", seed)
                        .isTrue();
            }
        }

        private void settle() {
            for (int i = 0; i < 100_000 && !permits.isEmpty(); i++) {
                wakeOne();
                acknowledgeOne();
                work();
                take();
            }
        }
    }
}
