package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.ErrorCode;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.RunnerHealth.BlockedOffset;
import dev.eventbus.consumer.RunnerHealth.PartitionHealth;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.crash.Decorator;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import io.github.resilience4j.retry.RetryConfig;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Handlers that take long, and handlers that throw whatever can be thrown. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class LongAndFailingHandlersIT {

    /** Short enough to wait for, and longer than a machine with much to do keeps a thread waiting. */
    private static final Duration POLL_INTERVAL = Duration.ofSeconds(4);

    private final Queue<String> handled = new ConcurrentLinkedQueue<>();
    private final Set<String> running = ConcurrentHashMap.newKeySet();
    private final Queue<String> rebalances = new ConcurrentLinkedQueue<>();
    private final CountDownLatch release = new CountDownLatch(1);
    private final AtomicInteger interrupts = new AtomicInteger();
    private final List<AutoCloseable> open = new ArrayList<>();

    private KafkaCluster kafka;
    private String group;
    private Admin admin;
    private Producer<byte[], byte[]> producer;

    @BeforeEach
    void connect(KafkaServer server) {
        kafka = KafkaCluster.at(server.bootstrapServers()).topicPrefix(server.uniqueName("handlers") + ".");
        group = server.uniqueName("handlers");
        admin = kafka.admin();
        producer = kafka.producer(Scene.ONE_AT_A_TIME);
        open.addAll(List.of(admin, producer));
    }

    private void topics(int partitions, Map<String, String> settings) {
        Topics.of(kafka, spec("asset.events", partitions), spec("dlq.events", 1))
                .provision();
        Map<String, String> all = new HashMap<>(settings);
        all.put("bootstrap.servers", kafka.bootstrapServers());
        kafka = KafkaCluster.of(all).topicPrefix(kafka.physicalTopic(""));
    }

    @AfterEach
    void close() throws Exception {
        release.countDown();
        for (int i = open.size() - 1; i >= 0; i--) {
            open.get(i).close();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"classic", "consumer"})
    void K_05_a_handler_that_runs_for_three_poll_intervals_costs_no_rebalance_and_holds_up_its_own_key_only(
            String protocol) throws Exception {
        topics(1, withShortPollInterval(protocol));
        ConsumerRunner runner = start(blocking());
        send(0, "slow", "slow-1");
        Eventually.holds(() -> running.contains("slow-1"), runner::health);
        int others = handleOthers(3, 0, runner);
        assertThat(handled).doesNotContain("slow-1");
        release.countDown();
        Eventually.holds(() -> committed(0) == others + 1L, runner::health);
        assertThat(handled).hasSize(others + 1).doesNotHaveDuplicates();
        assertThat(rebalances).containsExactly("1 assigned, 0 revoked, 0 lost");
    }

    @ParameterizedTest
    @ValueSource(strings = {"classic", "consumer"})
    void K_08_a_runner_that_drains_polls_on_so_its_group_neither_waits_for_it_nor_takes_its_work_away(String protocol)
            throws Exception {
        topics(2, withShortPollInterval(protocol));
        ConsumerRunner drains = start(blocking());
        ConsumerRunner stays = start(blocking());
        Eventually.holds(() -> hold(drains) == 1 && hold(stays) == 1, () -> drains.health() + " " + stays.health());
        int itsOwn = drains.health().partitions().get(0).partition();
        send(itsOwn, "slow", "slow-1");
        Eventually.holds(() -> running.contains("slow-1"), drains::health);

        CompletableFuture<Void> closed = CompletableFuture.runAsync(() -> drains.close(Duration.ofMinutes(2)));
        Eventually.holds(() -> drains.health().status() == Status.STOPPING, drains::health);
        start(blocking());
        Eventually.holds(() -> isStableWith(3), this::describe);
        int others = handleOthers(2, 1 - itsOwn, stays);
        assertThat(closed).isNotDone();
        Eventually.holds(() -> isStableWith(3), this::describe); // the one that drains is a member
        assertThat(closed).isNotDone();
        release.countDown();
        closed.get(60, TimeUnit.SECONDS);
        assertThat(committed(itsOwn)).as("by the one that handled it").isEqualTo(1);
        Eventually.holds(() -> committed(1 - itsOwn) == others, stays::health);
        assertThat(handled).hasSize(others + 1).doesNotHaveDuplicates();
        assertThat(rebalances).allMatch(rebalance -> rebalance.endsWith("0 lost"));
    }

    @Test
    void
            K_12_a_key_whose_handler_does_not_end_stops_no_other_until_the_open_span_is_spent_and_then_its_partition_waits()
                    throws Exception {
        topics(1, Map.of());
        int keys = 200;
        int events = 12_000;
        for (int n = 0; n < events; n++) {
            sendLater(0, n % keys == 0 ? "slow" : "user-" + n % keys, (n % keys == 0 ? "slow-" : "evt-") + n);
        }
        producer.flush();
        ConsumerRunner runner = start(blocking());
        Eventually.holds(
                () -> runner.health().problems().stream()
                        .anyMatch(problem ->
                                problem.contains("is not read: open span of 10000 records reached; offset 0")),
                () -> handled.size() + " " + runner.health());
        PartitionHealth partition = runner.health().partitions().get(0);
        assertThat(partition.openSpan()).isBetween(10_000, 10_500);
        assertThat(runner.health().status()).isEqualTo(Status.DEGRADED);
        long ofOthers = partition.position() - (partition.position() + keys - 1) / keys;
        Eventually.holds(() -> handled.size() == ofOthers, () -> handled.size() + " of " + ofOthers);
        Eventually.holds(() -> runner.explain("asset.events", 0).isPresent(), runner::health);
        BlockedOffset blocks = runner.explain("asset.events", 0).orElseThrow();
        assertThat(blocks.eventId()).isEqualTo("slow-0");
        assertThat(blocks.state()).isEqualTo(BlockedOffset.State.RUNNING);
        assertThat(committed(0)).isZero();

        release.countDown();
        Eventually.holds(() -> committed(0) == events, runner::health);
        assertThat(handled).hasSize(events);
        assertInOrder(handled);
        Eventually.holds(() -> runner.health().status() == Status.UP, runner::health);
    }

    @Test
    void K_13_a_handler_that_hangs_and_ignores_interrupts_is_named_holds_up_its_own_key_only_and_is_succeeded()
            throws Exception {
        topics(2, Map.of());
        AtomicReference<Duration> ahead = new AtomicReference<>(Duration.ZERO);
        ConsumerRunner hangs = start(builder(withClockAheadBy(ahead::get))
                .on(ASSET_UPDATED, (event, delivery) -> {
                    running.add(event.id());
                    if (event.key().equals("deaf")) {
                        awaitReleaseWhateverInterrupts();
                        running.remove(event.id());
                    }
                    handled.add(event.id());
                })
                .build());
        send(0, "deaf", "deaf-1");
        send(0, "deaf", "deaf-2");
        send(0, "other", "same-partition");
        send(1, "other", "other-partition");
        Eventually.holds(() -> committed(1) == 1 && handled.contains("same-partition"), hangs::health);
        Eventually.holds(() -> hangs.explain("asset.events", 0).isPresent(), hangs::health);
        assertThat(hangs.explain("asset.events", 0).orElseThrow().eventId()).isEqualTo("deaf-1");
        ahead.set(Duration.ofSeconds(61));
        Eventually.holds(() -> hangs.health().status() == Status.DEGRADED, hangs::health);
        assertThat(hangs.health().problems())
                .anySatisfy(problem -> assertThat(problem)
                        .contains(ErrorCode.AT_WORK_FOR_LONG.id(), "asset.events-0@0", "at work for more than 60 s"));

        Duration limit = Duration.ofSeconds(4);
        long begun = System.nanoTime();
        hangs.close(limit);
        assertThat(Duration.ofNanos(System.nanoTime() - begun)).isLessThan(limit.plusSeconds(1));
        assertThat(interrupts.get()).as("it was asked to end").isPositive();
        assertThat(running).contains("deaf-1");
        assertThat(committed(0)).as("not past what hangs").isZero();

        ConsumerRunner successor = start(builder()
                .on(ASSET_UPDATED, (event, delivery) -> handled.add("again " + event.id()))
                .build());
        Eventually.holds(() -> committed(0) == 3, successor::health);
        assertThat(handled)
                .as("what hung comes first of its key, and is not lost")
                .containsSubsequence("again deaf-1", "again deaf-2")
                .doesNotContain("deaf-1", "deaf-2");
        release.countDown();
        Eventually.holds(() -> handled.contains("deaf-1"), () -> running);
        assertThat(committed(0)).isEqualTo(3);
        assertThat(handled).as("it takes nothing more").doesNotContain("deaf-2");
    }

    private KafkaCluster withClockAheadBy(Supplier<Duration> ahead) {
        KafkaCluster real = kafka;
        return Decorator.of(
                KafkaCluster.class,
                (method, arguments) -> method.getName().equals("clock")
                        ? (InstantSource) () -> Instant.now().plus(ahead.get())
                        : method.invoke(real, arguments));
    }

    private void awaitReleaseWhateverInterrupts() {
        boolean released = false;
        while (!released) {
            try {
                released = release.await(1, TimeUnit.MINUTES);
            } catch (InterruptedException e) {
                interrupts.incrementAndGet();
            }
        }
    }

    @Test
    void K_14_whatever_a_thousand_handlers_throw_costs_no_thread_and_each_event_has_its_letter() throws Exception {
        topics(1, Map.of());
        Set<Thread> threads = ConcurrentHashMap.newKeySet();
        for (int n = 0; n < 1_000; n++) {
            sendLater(0, "user-" + n, "evt-" + n);
        }
        sendLater(0, "user-1", "good");
        producer.flush();
        ConsumerRunner runner = start(builder()
                .on(ASSET_UPDATED, (event, delivery) -> {
                    threads.add(Thread.currentThread());
                    if (!event.id().equals("good")) {
                        throwSomething(Integer.parseInt(event.id().substring("evt-".length())));
                    }
                    handled.add(event.id());
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .concurrency(4)
                .build());
        Eventually.holds(() -> committed(0) == 1_001, runner::health);
        assertThat(handled).containsExactly("good");
        assertThat(end("dlq.events")).isEqualTo(1_000);
        assertThat(threads).as("each thread outlives all that was thrown").hasSizeBetween(1, 4);
        Eventually.holds(() -> runner.health().status() == Status.UP, runner::health);
    }

    private static void throwSomething(int n) throws Exception {
        switch (n % 6) {
            case 0 -> throw new IllegalStateException();
            case 1 -> throw new IOException("checked");
            case 2 -> throw new AssertionError();
            case 3 -> throw new NoClassDefFoundError("dev/eventbus/Missing");
            case 4 -> throw new Error("of its own");
            default -> recurse(n);
        }
    }

    @SuppressWarnings("InfiniteRecursion") // that is its purpose
    private static int recurse(int n) {
        return recurse(n + 1) + recurse(n - 1); // until the stack is full
    }

    @Test
    void X_06_what_lies_in_the_dead_letter_topic_is_never_dead_lettered_however_often_its_handler_fails()
            throws Exception {
        topics(1, Map.of());
        AtomicInteger failures = new AtomicInteger();
        Queue<DeadLetter> letters = new ConcurrentLinkedQueue<>();
        sendLater(0, "alice", "evt-1");
        sendLater(0, "alice", "evt-2");
        producer.send(new ProducerRecord<>(kafka.physicalTopic("dlq.events"), new byte[] {7}, new byte[] {0, 1}))
                .get();
        ConsumerRunner runner = start(builder()
                .on(ASSET_UPDATED, (event, delivery) -> {
                    throw new IllegalStateException();
                })
                .onDeadLetters("dlq.events", (letter, delivery) -> {
                    if (failures.incrementAndGet() <= 6) {
                        throw new IllegalStateException();
                    }
                    letters.add(letter);
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> 5L)
                        .build())
                .build());
        TopicPartition dlq = new TopicPartition(kafka.physicalTopic("dlq.events"), 0);
        Eventually.holds(() -> committed(0) == 2 && committed(dlq) == 3, runner::health);
        assertThat(letters).hasSize(3);
        assertThat(end("dlq.events")).as("two events and what was there before").isEqualTo(3);
    }

    // ------------------------------------------------------------------------------------------

    private static Map<String, String> withShortPollInterval(String protocol) {
        Map<String, String> settings = new HashMap<>();
        settings.put("group.protocol", protocol);
        settings.put("max.poll.interval.ms", String.valueOf(POLL_INTERVAL.toMillis()));
        if (protocol.equals("classic")) {
            settings.put("heartbeat.interval.ms", "200"); // or nobody hears of a rebalance within that interval
        }
        return settings;
    }

    private ConsumerRunnerBuilder builder() {
        return builder(kafka);
    }

    private ConsumerRunnerBuilder builder(KafkaCluster cluster) {
        return ConsumerRunner.builder(cluster, group)
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .listener(new RunnerListener() {
                    @Override
                    public void rebalanced(int assigned, int revoked, int lost) {
                        rebalances.add("%d assigned, %d revoked, %d lost".formatted(assigned, revoked, lost));
                    }
                });
    }

    /** Handlers of one key wait until they are released. */
    private ConsumerRunner blocking() {
        return builder()
                .on(ASSET_UPDATED, (event, delivery) -> {
                    running.add(event.id());
                    if (event.key().equals("slow")) {
                        assertThat(release.await(2, TimeUnit.MINUTES)).isTrue();
                    }
                    handled.add(event.id());
                })
                .build();
    }

    private ConsumerRunner start(ConsumerRunner runner) {
        open.add(runner);
        return runner.start();
    }

    /** For some poll intervals, one after the other, each as soon as the one before is handled. Returns how many. */
    private int handleOthers(int intervals, int partition, ConsumerRunner by) throws Exception {
        long until = System.nanoTime() + POLL_INTERVAL.multipliedBy(intervals).toNanos();
        int others = 0;
        while (System.nanoTime() - until < 0) {
            String id = "other-" + others++;
            send(partition, "other", id);
            Eventually.holds(() -> handled.contains(id), by::health);
        }
        return others;
    }

    private void send(int partition, String user, String id) throws Exception {
        sendLater(partition, user, id);
        producer.flush();
    }

    private void sendLater(int partition, String user, String id) {
        var unused = producer.send(new ProducerRecord<>(
                kafka.physicalTopic("asset.events"), partition, user.getBytes(UTF_8), """
                {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s"}""".formatted(id, user)
                        .getBytes(UTF_8)));
    }

    /** Events of the slow key by their numbers, which grow. */
    private static void assertInOrder(Collection<String> ids) {
        assertThat(ids.stream()
                        .filter(id -> id.startsWith("slow-"))
                        .map(id -> Integer.parseInt(id.substring("slow-".length()))))
                .isSorted();
    }

    private static int hold(ConsumerRunner runner) {
        return runner.health().partitions().size();
    }

    private boolean isStableWith(int members) throws Exception {
        ConsumerGroupDescription described = describe();
        return described.groupState() == GroupState.STABLE
                && described.members().size() == members;
    }

    private ConsumerGroupDescription describe() {
        return Objects.requireNonNull(admin.describeConsumerGroups(List.of(group))
                        .describedGroups()
                        .get(group))
                .toCompletionStage()
                .toCompletableFuture()
                .join();
    }

    private long committed(int partition) throws Exception {
        return committed(new TopicPartition(kafka.physicalTopic("asset.events"), partition));
    }

    private long committed(TopicPartition partition) throws Exception {
        OffsetAndMetadata offset = admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata()
                .get()
                .get(partition);
        return offset == null ? 0 : offset.offset();
    }

    private long end(String topic) throws Exception {
        TopicPartition partition = new TopicPartition(kafka.physicalTopic(topic), 0);
        return admin.listOffsets(Map.of(partition, OffsetSpec.latest()))
                .partitionResult(partition)
                .get()
                .offset();
    }

    private static TopicSpec spec(String topic, int partitions) {
        return TopicSpec.of(topic, partitions).replicationFactor(1).minInsyncReplicas(1);
    }
}
