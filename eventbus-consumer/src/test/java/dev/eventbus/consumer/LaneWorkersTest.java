package dev.eventbus.consumer;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.KeyLane.Report;
import dev.eventbus.consumer.LaneWorkers.Progress;
import dev.eventbus.consumer.inbox.AttemptStore.AloneTurn;
import dev.eventbus.internal.RunLoop;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Properties of lanes and workers (I4, I5), in seeded lives with an executor and a clock by hand, then with real threads. */
class LaneWorkersTest {

    private static final Instant NOW = Instant.parse("2030-01-01T00:00:00Z");
    private static final TopicPartition ID = new TopicPartition("t", 0);

    @Test
    void keeps_its_properties_in_every_seeded_life() {
        for (int seed = 0; seed < 10_000; seed++) {
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

    /** Of keys that begin with another letter none fits into a step, however many share it. */
    private static final class OfOneLetter implements LaneWorkers.Work {

        private final List<List<String>> steps = new ArrayList<>();

        private static String keyOf(InFlight record) {
            return new String(record.record().key(), UTF_8);
        }

        @Override
        public Progress advance(InFlight record) {
            steps.add(List.of(keyOf(record)));
            return Progress.ENDED;
        }

        @Override
        public SharedTurn.@Nullable Together together(InFlight first) {
            if (keyOf(first).startsWith("by itself")) {
                return null;
            }
            List<String> keys = new ArrayList<>(List.of(keyOf(first)));
            return new SharedTurn.Together() {
                @Override
                public boolean takes(InFlight record) {
                    return keyOf(record).charAt(0) == keys.get(0).charAt(0) && keys.add(keyOf(record));
                }

                @Override
                public int room() {
                    return 10 - keys.size();
                }

                @Override
                public List<Progress> advance() {
                    steps.add(keys);
                    return Collections.nCopies(keys.size(), Progress.ENDED);
                }
            };
        }
    }

    private static List<List<String>> stepsOf(List<String> keys) {
        OfOneLetter work = new OfOneLetter();
        LaneWorkers workers = new LaneWorkers(null, 1, work, () -> NOW, e -> {});
        Partition partition = partition();
        for (int i = 0; i < keys.size(); i++) {
            KeyLane lane = new KeyLane(partition, ByteBuffer.wrap(keys.get(i).getBytes(UTF_8)));
            if (lane.add(partition.register(record(i, keys.get(i))))) {
                workers.ready(lane);
            }
        }
        workers.runHere();
        assertThat(work.steps.stream().flatMap(List::stream)).containsExactlyInAnyOrderElementsOf(keys);
        return work.steps;
    }

    @Test
    void records_that_did_not_fit_into_the_step_of_others_share_steps_all_the_same() {
        List<String> keys = new ArrayList<>(List.of("a0"));
        IntStream.range(0, 100).forEach(n -> keys.add("b" + n));
        assertThat(stepsOf(keys)).hasSize(1 + 10);
    }

    @Test
    void what_fits_into_no_step_has_its_turn_before_what_came_behind_it() {
        List<String> keys = new ArrayList<>(List.of("a0", "by itself"));
        IntStream.range(0, 100).forEach(n -> keys.addAll(List.of("b" + n, "a" + (n + 1))));
        List<List<String>> steps = stepsOf(keys);
        assertThat(steps.indexOf(List.of("by itself"))).isEqualTo(1);
        assertThat(steps).hasSizeBetween(22, 24);
    }

    /** Each ends in its second step, which it runs alone; the one that hangs when it is let go. */
    private record Suspects(
            AloneTurn turn, Set<String> asked, Set<String> begun, List<String> ended, CountDownLatch hangs)
            implements LaneWorkers.Work {

        @Override
        public Progress advance(InFlight record) {
            String key = OfOneLetter.keyOf(record);
            if (key.startsWith("suspect") && asked.add(key)) {
                return Progress.ALONE;
            }
            begun.add(key);
            if (key.equals("suspect that hangs")) {
                awaitOpen(hangs);
            }
            ended.add(key);
            return Progress.ENDED;
        }

        @Override
        public AloneTurn alone() {
            return turn;
        }
    }

    private static void awaitOpen(CountDownLatch latch) {
        try {
            assertThat(latch.await(60, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private static void give(LaneWorkers workers, String... keys) {
        Partition partition = partition();
        for (int i = 0; i < keys.length; i++) {
            KeyLane lane = new KeyLane(partition, ByteBuffer.wrap(keys[i].getBytes(UTF_8)));
            if (lane.add(partition.register(record(i, keys[i])))) {
                workers.ready(lane);
            }
        }
    }

    @Test
    void a_suspect_takes_over_the_turn_of_another_runners_after_a_minute() {
        AtomicLong nanos = new AtomicLong();
        Suspects work = new Suspects(
                new AloneTurn(nanos::get), new HashSet<>(), new HashSet<>(), new ArrayList<>(), new CountDownLatch(1));
        AloneTurn.Taken ofAnother = Objects.requireNonNull(work.turn().tryTake());
        LaneWorkers workers = new LaneWorkers(null, 1, work, () -> NOW, e -> {});
        give(workers, "suspect", "bob");
        workers.runHere();
        assertThat(work.ended()).isEmpty();
        nanos.addAndGet(AloneTurn.AT_MOST.toNanos() + 1);
        workers.runHere();
        assertThat(work.ended()).containsExactly("suspect", "bob");
        work.turn().giveBack(ofAnother);
        assertThat(work.turn().holdsOthers()).isFalse();
    }

    @Test
    void a_suspect_that_does_not_return_keeps_neither_suspects_nor_others_for_more_than_a_minute() {
        AtomicLong nanos = new AtomicLong();
        Suspects work = new Suspects(
                new AloneTurn(nanos::get),
                ConcurrentHashMap.newKeySet(),
                ConcurrentHashMap.newKeySet(),
                new CopyOnWriteArrayList<>(),
                new CountDownLatch(1));
        ExecutorService pool = Executors.newFixedThreadPool(3);
        try {
            LaneWorkers workers = new LaneWorkers(pool, 3, work, () -> NOW, e -> {});
            give(workers, "suspect that hangs", "suspect 2", "suspect 3");
            assertThat(RunLoop.await(Duration.ofSeconds(20), () -> {
                        workers.hire();
                        return work.begun().contains("suspect that hangs");
                    }))
                    .isTrue();
            nanos.addAndGet(AloneTurn.AT_MOST.toNanos() + 1);
            give(workers, "bob");
            assertThat(RunLoop.await(Duration.ofSeconds(20), () -> {
                        workers.hire();
                        return work.ended().size() == 3;
                    }))
                    .isTrue();
            assertThat(work.ended()).containsExactlyInAnyOrder("suspect 2", "suspect 3", "bob");
            work.hangs().countDown();
            assertThat(RunLoop.await(Duration.ofSeconds(20), () -> workers.running() == 0))
                    .isTrue();
            assertThat(work.ended()).contains("suspect that hangs");
            assertThat(work.turn().holdsOthers()).isFalse();
        } finally {
            work.hangs().countDown();
            pool.shutdownNow();
        }
    }

    /** All share one step, but one is prepared for ever. */
    private static final class Prepared implements LaneWorkers.Work {

        final CountDownLatch hangs = new CountDownLatch(1);
        final CountDownLatch isPrepared = new CountDownLatch(1);
        final List<String> ended = new CopyOnWriteArrayList<>();

        @Override
        public Progress advance(InFlight record) {
            ended.add(OfOneLetter.keyOf(record));
            return Progress.ENDED;
        }

        @Override
        public SharedTurn.Together together(InFlight first) {
            List<InFlight> taken = new ArrayList<>(List.of(first));
            return new SharedTurn.Together() {
                @Override
                public boolean prepares(InFlight record) {
                    if (OfOneLetter.keyOf(record).equals("hangs")) {
                        isPrepared.countDown();
                        awaitOpen(hangs);
                    }
                    return true;
                }

                @Override
                public boolean takes(InFlight record) {
                    return taken.add(record);
                }

                @Override
                public int room() {
                    return 100 - taken.size();
                }

                @Override
                public List<Progress> advance() {
                    taken.forEach(Prepared.this::advance);
                    return Collections.nCopies(taken.size(), Progress.ENDED);
                }
            };
        }
    }

    @Test
    void a_record_that_is_prepared_for_ever_holds_none_of_those_collected_before_it() throws InterruptedException {
        Prepared work = new Prepared();
        ExecutorService pool = Executors.newFixedThreadPool(2);
        try {
            Queue<Runnable> tasks = new ConcurrentLinkedQueue<>();
            LaneWorkers workers = new LaneWorkers(tasks::add, 2, work, () -> NOW, e -> {});
            give(workers, "a", "b", "hangs", "c", "d");
            pool.execute(tasks.remove()); // it finds all of them, and comes as far as the one that hangs
            assertThat(work.isPrepared.await(20, TimeUnit.SECONDS)).isTrue();
            assertThat(RunLoop.await(Duration.ofSeconds(20), () -> {
                        workers.hire();
                        Stream.generate(tasks::poll).takeWhile(Objects::nonNull).forEach(pool::execute);
                        return work.ended.size() == 4;
                    }))
                    .isTrue();
            assertThat(work.ended).containsExactlyInAnyOrder("a", "b", "c", "d");
            work.hangs.countDown();
            assertThat(RunLoop.await(Duration.ofSeconds(20), () -> {
                        workers.hire();
                        Stream.generate(tasks::poll).takeWhile(Objects::nonNull).forEach(pool::execute);
                        return work.ended.size() == 5 && workers.running() == 0;
                    }))
                    .isTrue();
            for (int i = 0; i < 5; i++) {
                assertThat(workers.nextReport()).isInstanceOf(Report.Ended.class);
            }
            assertThat(workers.nextReport()).isNull();
        } finally {
            work.hangs.countDown();
            pool.shutdownNow();
        }
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
    void after_the_JVM_was_found_out_of_order_nothing_more_begins() {
        List<Error> told = new ArrayList<>();
        AtomicInteger begun = new AtomicInteger();
        LaneWorkers workers = new LaneWorkers(
                null,
                1,
                record -> {
                    begun.incrementAndGet();
                    throw new OutOfMemoryError();
                },
                () -> NOW,
                told::add);
        Partition partition = partition();
        for (int i = 0; i < 3; i++) {
            KeyLane lane = new KeyLane(partition, null);
            lane.add(partition.register(record(i, "k" + i)));
            workers.ready(lane);
        }
        workers.runHere();
        workers.runHere();
        assertThat(begun).hasValue(1);
        assertThat(told).hasSize(1);
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

    /** As with a discard policy, or with {@code shutdownNow()}: nobody is told. */
    @Test
    void an_executor_that_drops_tasks_is_a_problem_and_keeps_no_lane_waiting_once_it_works() {
        Instant[] now = {NOW};
        List<Runnable> kept = new ArrayList<>();
        boolean[] drops = {true};
        LaneWorkers workers = new LaneWorkers(
                task -> {
                    kept.add(task);
                    if (!drops[0]) {
                        task.run();
                    }
                },
                2,
                record -> Progress.ENDED,
                () -> now[0],
                e -> {});
        for (int i = 0; i < 3; i++) {
            KeyLane lane = new KeyLane(partition(), null);
            lane.add(lane.partition().register(record(i, "k")));
            workers.ready(lane);
        }
        assertThat(kept).hasSize(2);
        for (int second = 0; second < 60; second++) {
            now[0] = NOW.plusSeconds(second);
            workers.hire();
        }
        assertThat(workers.problem()).contains("the executor has begun no task since " + NOW);
        assertThat(kept).as("asked again by one task at a time").hasSizeBetween(5, 8);

        drops[0] = false;
        now[0] = NOW.plusSeconds(80);
        workers.hire();
        for (int i = 0; i < 3; i++) {
            assertThat(workers.nextReport()).isInstanceOf(Report.Ended.class);
        }
        assertThat(workers.problem()).isNull();
        kept.forEach(Runnable::run); // late, if they were only late
        assertThat(workers.nextReport()).isNull();
        assertThat(workers.running()).isZero();
    }

    @Test
    void tasks_that_wait_behind_a_worker_that_runs_are_not_given_up() {
        Instant[] now = {NOW};
        List<Runnable> kept = new ArrayList<>();
        List<Integer> most = new ArrayList<>();
        LaneWorkers[] made = new LaneWorkers[1];
        LaneWorkers workers = new LaneWorkers(
                kept::add,
                2,
                record -> {
                    for (int second = 1; second < 60 && most.isEmpty(); second++) {
                        now[0] = NOW.plusSeconds(second);
                        made[0].hire();
                    }
                    most.add(kept.size());
                    return Progress.ENDED;
                },
                () -> now[0],
                e -> {});
        made[0] = workers;
        for (int i = 0; i < 3; i++) {
            KeyLane lane = new KeyLane(partition(), null);
            lane.add(lane.partition().register(record(i, "k")));
            workers.ready(lane);
        }
        kept.get(0).run();
        assertThat(most).containsOnly(2);
        assertThat(workers.problem()).isNull();
    }

    @Test
    void a_lane_that_gives_way_keeps_nothing_running_whether_its_partition_is_lost_before_or_after() {
        for (boolean lostBefore : new boolean[] {true, false}) {
            List<InFlight> dropped = new ArrayList<>();
            AssignedPartitions assigned = assigned(dropped, lane -> {});
            Partition partition = Objects.requireNonNull(assigned.get(ID));
            KeyLane lane = assigned.laneOf(partition, null);
            lane.add(partition.register(record(0, "k")));
            lane.add(partition.register(record(1, "k")));
            assertThat(lane.begin()).isNotNull();
            if (lostBefore) {
                assigned.onPartitionsLost(List.of(ID));
                assertThat(lane.nextLater()).isFalse();
            } else {
                assertThat(lane.nextLater()).isTrue();
                assigned.onPartitionsLost(List.of(ID));
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
        return new Partition(ID, 1);
    }

    /** One partition is assigned; a hand-over does nothing but drop. */
    private static AssignedPartitions assigned(List<InFlight> dropped, Consumer<KeyLane> ready) {
        AssignedPartitions assigned = new AssignedPartitions(
                new AssignedPartitions.Loop() {
                    @Override
                    public boolean pumpUntil(BooleanSupplier condition, Duration limit) {
                        return condition.getAsBoolean();
                    }

                    @Override
                    public Instant finishBy() {
                        return NOW.plusSeconds(1);
                    }

                    @Override
                    public void commitNow(Collection<Partition> partitions) {}

                    @Override
                    public void dropped(Collection<InFlight> records) {
                        dropped.addAll(records);
                    }
                },
                ready,
                RunnerListener.NONE,
                Duration.ofSeconds(1));
        assigned.onPartitionsAssigned(List.of(ID));
        return assigned;
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
        private final Map<String, Long> lastBegun = new HashMap<>();
        private final List<KeyLane> waiting = new ArrayList<>();
        private final Set<Long> permits = new HashSet<>();
        private final Set<Long> ended = new HashSet<>();
        private final List<InFlight> dropped = new ArrayList<>();
        private final LaneWorkers workers;
        private final AssignedPartitions assigned;
        private final Partition partition;
        private final Set<String> running = new HashSet<>();
        private final List<String> violations = new ArrayList<>();
        private final boolean everyStepEnds;
        private long offset;
        private int mostTasks;

        /** Above it nothing may begin. */
        private long horizon = Long.MAX_VALUE;

        Life(int seed) {
            this.seed = seed;
            this.random = new SplittableRandom(seed);
            this.everyStepEnds = seed % 3 == 1;
            this.workers = new LaneWorkers(
                    tasks::add, 3, seed % 2 == 0 ? this::step : new SteppingTogether(), () -> NOW, e -> {});
            this.assigned = assigned(dropped, workers::ready);
            this.partition = Objects.requireNonNull(assigned.get(ID));
        }

        /** As single steps, but now and then several records share one, of which some end and others are left to run alone. */
        private final class SteppingTogether implements LaneWorkers.Work {

            @Override
            public Progress advance(InFlight record) {
                return step(record);
            }

            @Override
            public SharedTurn.@Nullable Together together(InFlight first) {
                return first.isUntried() && random.nextInt(3) > 0 ? new Shared(first) : null;
            }
        }

        private final class Shared implements SharedTurn.Together {

            private final List<InFlight> records = new ArrayList<>();

            Shared(InFlight first) {
                records.add(first);
            }

            @Override
            public boolean takes(InFlight record) {
                return record.isUntried() && random.nextInt(5) > 0 && records.add(record);
            }

            @Override
            public int room() {
                return 7 - records.size();
            }

            @Override
            public List<Progress> advance() {
                Set<String> keys = new HashSet<>();
                List<Long> inStep = new ArrayList<>();
                for (InFlight record : records) {
                    String key = new String(record.record().key(), UTF_8);
                    long at = record.record().offset();
                    if (keys.add(key) && !running.add(key)) {
                        violations.add("I4: two of " + key);
                    }
                    Long before = lastBegun.put(key, at);
                    if (at > horizon
                            || before != null && before < at && !ended.contains(before) && !inStep.contains(before)) {
                        violations.add("I5: %d began in a step, after %d".formatted(at, before));
                    }
                    inStep.add(at);
                }
                while (running.size() < 6 && random.nextInt(3) == 0) {
                    act();
                }
                running.removeAll(keys);
                Set<String> unfinished = new HashSet<>();
                List<Progress> came = new ArrayList<>();
                for (InFlight record : records) {
                    String key = new String(record.record().key(), UTF_8);
                    if (!everyStepEnds && random.nextInt(4) == 0 && unfinished.add(key)) {
                        lastBegun.put(key, record.record().offset()); // what stands behind it never happened
                    }
                    came.add(unfinished.contains(key) ? Progress.BY_ITSELF : Progress.ENDED);
                    if (!unfinished.contains(key)) {
                        ended.add(record.record().offset());
                    }
                }
                return came;
            }
        }

        /** While a handler runs, the poll thread and other workers go on. */
        private Progress step(InFlight record) {
            String key = new String(record.record().key(), UTF_8);
            if (!running.add(key)) {
                violations.add("I4: two of " + key);
            }
            Progress progress = stepOf(record, key);
            while (running.size() < 3 && random.nextInt(3) == 0) {
                act();
            }
            running.remove(key);
            if (progress == Progress.ENDED) {
                ended.add(record.record().offset());
            }
            return progress;
        }

        private Progress stepOf(InFlight record, String key) {
            InFlight.Sent sent = record.takeSendResult();
            long at = record.record().offset();
            if (sent != null && sent.failure() != null) {
                return new Progress.Waits(Duration.ofSeconds(1), "letter");
            }
            if (sent != null) {
                return Progress.ENDED;
            }
            if (at > horizon) {
                violations.add("%d began behind %d".formatted(at, horizon));
            }
            Long before = lastBegun.put(key, at);
            if (before != null && (before > at || before < at && !ended.contains(before))) {
                violations.add("I5: %d began after %d".formatted(at, before));
            }
            switch (random.nextInt(everyStepEnds ? 4 : 0, 12)) {
                case 0, 1 -> {
                    return new Progress.Waits(Duration.ofSeconds(random.nextInt(1, 4)), null);
                }
                case 2 -> {
                    CompletableFuture<Void> letter = new CompletableFuture<>();
                    letters.add(letter);
                    return new Progress.Sends(letter);
                }
                case 3 -> {
                    if (seed % 3 == 0 && offset > 30) {
                        return new Progress.Stops("the seed says so");
                    }
                }
                default -> {}
            }
            return Progress.ENDED;
        }

        void live() {
            for (int i = 0; i < 40; i++) {
                act();
            }
            settle();
            if (permits.size() > 0) {
                violations.add("I7: permits are out: %s".formatted(permits));
            }
            if (mostTasks > 3) {
                violations.add("%d workers".formatted(mostTasks));
            }
            checkCommittable();
            if (!violations.isEmpty()) {
                throw new AssertionError("seed %d: %s".formatted(seed, violations));
            }
        }

        private void act() {
            switch (random.nextInt(16)) {
                case 0, 1, 2, 3, 4, 5 -> read();
                case 6, 7, 8 -> work();
                case 9, 10 -> wakeOne();
                case 11, 12 -> acknowledgeOne();
                case 13 -> close();
                default -> take();
            }
        }

        private void close() {
            if (offset > 10 && !partition.isClosed()) {
                horizon = Math.max(highestBegun(), partition.offsets().highestEnded());
                assigned.closeAll();
            }
        }

        /** Trivial: the first offset of all that has not ended; if all steps end, nothing has ended behind it. */
        private void checkCommittable() {
            long expected = 0;
            while (ended.contains(expected)) {
                expected++;
            }
            long committable = partition.offsets().committable();
            if (offset > 0 && committable != expected) {
                violations.add("I1: committable %d, expected %d".formatted(committable, expected));
            }
            if (everyStepEnds && ended.size() > expected) {
                violations.add("%d would be repeated".formatted(ended.size() - expected));
            }
        }

        private long highestBegun() {
            return lastBegun.values().stream().mapToLong(Long::longValue).max().orElse(-1);
        }

        private void read() {
            if (partition.isClosed()) {
                return;
            }
            String key = "k" + random.nextInt(4);
            InFlight record = partition.register(record(offset++, key));
            permits.add(record.slot());
            KeyLane lane = assigned.laneOf(partition, key.getBytes(UTF_8));
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

        /** As the poll thread does. */
        private void take() {
            workers.hire();
            for (Report report = workers.nextReport(); report != null; report = workers.nextReport()) {
                if (report instanceof Report.Waits waits) {
                    if (assigned.waits(waits)) {
                        waiting.add(waits.lane());
                    }
                    continue;
                }
                returned(report.record());
                if (report instanceof Report.Ended) {
                    partition.offsets().ended(report.record().slot());
                }
                assigned.released(report.lane(), report.record());
                if (!(report instanceof Report.Ended)) {
                    assigned.letGo(partition, report.record());
                }
            }
            dropped.forEach(this::returned);
            dropped.clear();
        }

        private void returned(InFlight record) {
            if (!permits.remove(record.slot())) {
                violations.add("I7: %d came back twice".formatted(record.slot()));
            }
        }

        private void settle() {
            for (int i = 0; i < 100_000 && !permits.isEmpty(); i++) {
                if (i == 10 && !everyStepEnds && partition.isClosed()) {
                    assigned.startNothingMore();
                }
                wakeOne();
                acknowledgeOne();
                work();
                take();
            }
        }
    }
}
