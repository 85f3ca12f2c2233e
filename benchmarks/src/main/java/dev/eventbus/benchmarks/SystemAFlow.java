package dev.eventbus.benchmarks;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.EventType;
import dev.eventbus.benchmarks.EventbusPublishing.ItemAdded;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.LongStream;

/**
 * One of system A's services with a database, an outbox and a relay of its own, and the group that handles its events. Events are
 * numbered; those of a key come from one thread, so their order is known.
 */
final class SystemAFlow implements Participant, AutoCloseable {

    private static final int PUBLISHERS = 4;

    private final String topic;
    private final HikariDataSource database;
    private final JdbcOutbox outbox;
    private final OutboxRelay relay;
    private final ConsumerRunner runner;
    private final List<EventbusPublishing> publishings = new ArrayList<>();
    private final ExecutorService threads = Executors.newFixedThreadPool(PUBLISHERS);

    /** NanoTime by an event's number; 0 if not yet. */
    private final AtomicLongArray committedAt;

    private final AtomicLongArray handledAt;

    /** The highest number handled of a key, plus one. */
    private final AtomicLongArray lastOfKey = new AtomicLongArray(SampleEvents.KEYS);

    private final AtomicLongArray lastOfPartition;
    private final AtomicLong longestSilence = new AtomicLong();
    private final LongAdder handled = new LongAdder();
    private final LongAdder repeats = new LongAdder();
    private final LongAdder violations = new LongAdder();

    /** Events published or to be published by the runs so far. Of the thread that asks. */
    private long published;

    private SystemAFlow(Servers servers, String service, int partitions, int events) throws SQLException {
        this.topic = service + ".events";
        this.committedAt = new AtomicLongArray(events);
        this.handledAt = new AtomicLongArray(events);
        this.lastOfPartition = new AtomicLongArray(partitions);
        this.database = servers.pool(servers.postgres().createDatabase(service), PUBLISHERS + 2);
        this.outbox = JdbcOutbox.postgres();
        outbox.createTables(database);
        try (var connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute(BarePublishing.BUSINESS_TABLE);
        }
        KafkaCluster kafka = KafkaCluster.at(servers.bootstrapServers());
        this.relay = OutboxRelay.builder(outbox, database, kafka).build();
        for (int i = 0; i < PUBLISHERS; i++) {
            publishings.add(new EventbusPublishing(database.getConnection(), outbox, topic, () -> {}));
        }
        EventType<ItemAdded> type =
                EventType.of(SampleEvents.TYPE, ItemAdded.class).topic(topic).key(ItemAdded::userId);
        this.runner = ConsumerRunner.builder(kafka, "calculator." + topic)
                .on(
                        type,
                        (event, delivery) ->
                                handle(Integer.parseInt(event.payload().n()), delivery.partition()))
                .afterRetries(AfterRetries.deadLetter(SystemAQuestion.DEAD_LETTERS))
                .build();
    }

    /** @param events most that it will be asked to publish */
    static SystemAFlow start(Servers servers, String service, int partitions, int events) throws SQLException {
        SystemAFlow flow = new SystemAFlow(servers, service, partitions, events);
        flow.relay.start();
        flow.runner.start();
        return flow;
    }

    @Override
    public String name() {
        return topic;
    }

    private void handle(int number, int partition) {
        long now = System.nanoTime();
        if (!handledAt.compareAndSet(number, 0, now)) {
            repeats.increment();
            return;
        }
        if (lastOfKey.getAndAccumulate(SampleEvents.keyIndex(number), number + 1L, Math::max) > number) {
            violations.increment();
        }
        long before = lastOfPartition.getAndSet(partition, now);
        longestSilence.accumulateAndGet(now - before, Math::max);
        handled.increment();
    }

    /** Publishes evenly over time; the future ends with the last commit. */
    CompletableFuture<Void> publish(int perSecond, int seconds) {
        long from = published;
        long to = from + (long) perSecond * seconds;
        published = to;
        long everyNanos = 1_000_000_000L / perSecond;
        long start = System.nanoTime() + everyNanos;
        CompletableFuture<?>[] all = new CompletableFuture<?>[PUBLISHERS];
        for (int i = 0; i < PUBLISHERS; i++) {
            int publisher = i;
            all[i] = CompletableFuture.runAsync(
                    () -> LongStream.range(from, to)
                            .filter(number -> number % PUBLISHERS == publisher)
                            .forEach(number -> publish(publisher, number, start + (number - from) * everyNanos)),
                    threads);
        }
        return CompletableFuture.allOf(all);
    }

    private void publish(int publisher, long number, long when) {
        for (long left = when - System.nanoTime(); left > 0; left = when - System.nanoTime()) {
            LockSupport.parkNanos(left);
        }
        try {
            publishings.get(publisher).publish(number);
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
        committedAt.set((int) number, System.nanoTime()); // before the relay is woken
        outbox.committed();
    }

    /** How many events were published, at the end of a run. */
    long published() {
        return published;
    }

    /** How many different ones were handled. */
    long handled() {
        return handled.sum();
    }

    /** How many are not handled within a limit. */
    long missing(Duration limit) {
        long deadline = System.nanoTime() + limit.toNanos();
        while (handled() < published && System.nanoTime() - deadline < 0) {
            LockSupport.parkNanos(Duration.ofMillis(2).toNanos());
        }
        return published - handled();
    }

    long repeats() {
        return repeats.sum();
    }

    long violations() {
        return violations.sum();
    }

    /** Milliseconds from commit to handler, of the events from this number on that were handled. */
    double[] millisSince(long from) {
        return LongStream.range(from, published)
                .filter(number -> handledAt.get((int) number) != 0)
                .mapToDouble(number -> (handledAt.get((int) number) - committedAt.get((int) number)) / 1e6)
                .toArray();
    }

    void silenceBeginsNow() {
        long now = System.nanoTime();
        for (int partition = 0; partition < lastOfPartition.length(); partition++) {
            lastOfPartition.set(partition, now);
        }
        longestSilence.set(0);
    }

    /** Longest time in which nothing of a partition was handled, in seconds. */
    double longestSilence() {
        return longestSilence.get() / 1e9;
    }

    @Override
    public void close() throws SQLException {
        threads.shutdown();
        runner.close();
        relay.close();
        for (EventbusPublishing publishing : publishings) {
            publishing.close();
        }
        database.close();
    }
}
