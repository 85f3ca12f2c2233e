package dev.eventbus.outbox;

import dev.eventbus.internal.NamedThreads;
import dev.eventbus.outbox.ShardProducer.Handed;
import dev.eventbus.outbox.ShardProducer.Report;
import dev.eventbus.outbox.internal.Outage;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.Shards;
import dev.eventbus.topics.ClusterProbe;
import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.errors.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * A transactional producer for each shard; each batch of a shard is one Kafka transaction. A record that fails undoes its batch, so
 * none behind it is seen. A relay that takes a shard over shuts the one before out, by the shard's {@code transactional.id}, before
 * it reads any of its rows.
 *
 * <p>Thread safety: everything is called on the relay's thread, and nothing there waits for Kafka. What waits runs on a thread of
 * its own, one task of a shard at a time: opening its {@link ShardProducer}, or one batch from its beginning to its commit. A task
 * owns producer and batch, and ends with one report. So a shard that is stuck stops no other, and every task ends, since all
 * calls of the client have a limit.
 */
final class ShardTransactions implements KafkaSink {

    /** Large enough that the cost of a commit hardly counts, and so small that six shards of one topic have room in flight. */
    private static final int MOST_ROWS_PER_SHARD = 250;

    private static final int BUFFER_BYTES = 4 * 1024 * 1024;
    private static final Duration LONGEST_REQUEST = Duration.ofSeconds(5);
    private static final Duration LONGEST_DELIVERY = Duration.ofSeconds(8);
    private static final Duration LONGEST_CALL = Duration.ofSeconds(10);

    /** A commit goes out whole; records may wait so long for others of their batch. */
    private static final int LINGER_MILLIS = 5;

    private static final String A_COPY =
            "That was not the first time in a row: the relay of another database seems to use the same transactional ids, so one of the two is a copy. Stop the copy's relays and delete 'outbox_id' from its eventbus_meta.";

    private static final Duration IDLE_THREAD_ENDS_AFTER = Duration.ofSeconds(10);

    /** A last resort: every task has ended long before. */
    private static final Duration PATIENCE = Duration.ofHours(1);

    /** What a shard has; the relay's thread only. */
    private static final class Session {
        final ShardProducer producer;

        /** Whether a task is under way. */
        boolean busy = true;

        boolean prepared;
        List<Handed> batch = new ArrayList<>();
        boolean batchAlone;

        Session(ShardProducer producer) {
            this.producer = producer;
        }
    }

    private final KafkaCluster kafka;
    private final ClusterProbe probe;
    private final OutboxStore store;
    private final Runnable onOutcome;
    private final Map<String, Object> settings;

    /** Only asked for partitions. */
    private final FailStopProducer metadata;

    private final ThreadPoolExecutor threads;
    private final Queue<Report> reports = new ConcurrentLinkedQueue<>();

    private final Map<Integer, Session> sessions = new TreeMap<>();
    private final Map<Integer, Outage> outages = new TreeMap<>();

    /** Shards whose producer was shut out; whether that is an outage shows when the leases have been looked at. */
    private final Set<Integer> shutOut = new HashSet<>();

    /** Shards for which it is one. That they are opened again ends it not, only a batch does. */
    private final Set<Integer> contested = new HashSet<>();

    /** Less behind a quota or a slow network: what is not through in time was in vain as a whole. */
    private int rowsPerShard = MOST_ROWS_PER_SHARD;

    private @Nullable String outboxId;

    ShardTransactions(KafkaCluster kafka, OutboxStore store, int maxEventBytes, Duration lease, Runnable onOutcome) {
        this.kafka = kafka;
        this.probe = new ClusterProbe(kafka);
        this.store = store;
        this.onOutcome = onOutcome;
        this.settings = settings(maxEventBytes, lease);
        this.metadata = new FailStopProducer(kafka, maxEventBytes, onOutcome, () -> {});
        this.threads = new ThreadPoolExecutor(
                Shards.COUNT,
                Shards.COUNT,
                IDLE_THREAD_ENDS_AFTER.toSeconds(),
                TimeUnit.SECONDS,
                new LinkedBlockingQueue<>(),
                new NamedThreads("eventbus-relay-shard"));
        threads.allowCoreThreadTimeOut(true);
    }

    /**
     * What is not acknowledged fails before the cluster undoes the transaction by itself and before a commit ends its waiting, so that
     * the topic to blame is known.
     */
    private static Map<String, Object> settings(int maxEventBytes, Duration lease) {
        Map<String, Object> settings = FailStopProducer.settings(maxEventBytes);
        Duration delivery = shorter(LONGEST_DELIVERY, lease.dividedBy(5).multipliedBy(4));
        Duration request = shorter(LONGEST_REQUEST, lease.dividedBy(2));
        long largest = Long.parseLong(String.valueOf(settings.get(ProducerConfig.MAX_REQUEST_SIZE_CONFIG)));
        settings.put(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG, (int) lease.toMillis());
        settings.put(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, (int) delivery.toMillis());
        settings.put(ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, (int) request.toMillis());
        settings.put(ProducerConfig.MAX_BLOCK_MS_CONFIG, LONGEST_CALL.toMillis());
        settings.put(ProducerConfig.LINGER_MS_CONFIG, LINGER_MILLIS);
        settings.put(ProducerConfig.BUFFER_MEMORY_CONFIG, Math.max(BUFFER_BYTES, 2 * largest));
        return settings;
    }

    private static Duration shorter(Duration one, Duration other) {
        return one.compareTo(other) < 0 ? one : other;
    }

    @Override
    public boolean isOpen() {
        return metadata.isOpen();
    }

    @Override
    public void open() {
        metadata.open();
    }

    @Override
    public List<PartitionInfo> partitionsFor(String topic) {
        return metadata.partitionsFor(topic);
    }

    @Override
    public void prepare(Connection connection, Set<Integer> owned) throws SQLException {
        if (!sessions.keySet().equals(owned)) {
            outages.keySet().retainAll(owned);
            shutOut.retainAll(owned);
            contested.retainAll(owned);
            shutOut.forEach(this::contest);
            shutOut.clear();
            for (Session session : List.copyOf(sessions.values())) {
                if (!owned.contains(session.producer.shard())) {
                    retire(session.producer);
                }
            }
            for (int shard : owned) {
                if (!sessions.containsKey(shard) && !outage(shard).mustWait()) {
                    begin(shard, outboxId(connection));
                }
            }
        }
    }

    /**
     * The leases were looked at since, and the shard is ours still. Once that is nothing to act on: the cluster does it to a transaction that
     * takes longer than the lease, and a relay before this one may have come late.
     */
    private void contest(int shard) {
        boolean again = !contested.add(shard);
        outage(shard)
                .failed(
                        "The producer of shard %d was shut out of cluster '%s' at %s although this relay has the shard's lease; its events wait in the outbox and lose nothing, and another is opened. %s"
                                .formatted(
                                        shard,
                                        kafka.name(),
                                        kafka.bootstrapServers(),
                                        again ? A_COPY : "If that ends it, nothing has to be done."));
    }

    /** Two services with equal table names on one cluster must not shut each other out. */
    private String outboxId(Connection connection) throws SQLException {
        String id = outboxId;
        if (id == null) {
            id = store.metaOnce(connection, "outbox_id", UUID.randomUUID().toString());
            outboxId = id;
        }
        return id;
    }

    private Outage outage(int shard) {
        return outages.computeIfAbsent(shard, any -> new Outage(kafka.clock()));
    }

    private void begin(int shard, String id) {
        Map<String, Object> own = new HashMap<>(settings);
        own.put(ProducerConfig.CLIENT_ID_CONFIG, "eventbus-relay-" + shard);
        own.put(ProducerConfig.TRANSACTIONAL_ID_CONFIG, "eventbus-%s-%s-%d".formatted(id, kafka.name(), shard));
        ShardProducer producer = new ShardProducer(shard, kafka, own);
        sessions.put(shard, new Session(producer));
        threads.execute(() -> report(producer.open()));
    }

    @Override
    public boolean isPreparing() {
        return sessions.values().stream().anyMatch(session -> !session.prepared);
    }

    @Override
    public boolean isReadyFor(int shard) {
        Session session = sessions.get(shard);
        return session != null && !session.busy;
    }

    @Override
    public int rowsPerShard() {
        return rowsPerShard;
    }

    @Override
    public boolean takes(InFlight.Lane lane, boolean alone) {
        Session session = sessions.get(lane.shard);
        return session != null && !session.busy && (session.batch.isEmpty() || !alone && !session.batchAlone);
    }

    @Override
    public boolean send(OutboxRow row, ProducerRecord<byte[], byte[]> message, boolean alone) {
        Session session = sessions.get(row.key().shard());
        if (session == null) {
            return false;
        }
        session.batch.add(new Handed(row, message));
        session.batchAlone = alone;
        return true;
    }

    @Override
    public void flush() {
        for (Session session : sessions.values()) {
            if (!session.batch.isEmpty()) {
                List<Handed> batch = session.batch;
                session.batch = new ArrayList<>();
                session.busy = true;
                threads.execute(() -> report(session.producer.send(batch)));
            }
        }
    }

    @Override
    public Drained drain() {
        List<Outcome> outcomes = new ArrayList<>();
        Set<Integer> shut = new HashSet<>();
        for (Report report = reports.poll(); report != null; report = reports.poll()) {
            Session session = sessions.get(report.producer().shard());
            if (session != null
                    && session.producer == report.producer()) { // else it was retired, and its rows taken back
                outcomes.addAll(report.outcomes());
                session.busy = false;
                session.prepared = true;
                settle(report);
                if (!report.usable()) {
                    shut.add(report.producer().shard());
                }
            }
        }
        return new Drained(outcomes, metadata.drain().stopped(), shut);
    }

    private void adaptSize(Report report) {
        boolean committed = report.outcomes().stream().anyMatch(Outcome.Acked.class::isInstance);
        boolean late = report.outcomes().stream()
                .anyMatch(outcome ->
                        outcome instanceof Outcome.Failed failed && failed.error() instanceof TimeoutException);
        if (committed) {
            rowsPerShard = Math.min(MOST_ROWS_PER_SHARD, rowsPerShard + 1 + rowsPerShard / 8);
        } else if (late) {
            rowsPerShard = Math.max(1, rowsPerShard / 2);
        }
    }

    private void settle(Report report) {
        int shard = report.producer().shard();
        Throwable problem = report.problem();
        boolean batch = !report.outcomes().isEmpty();
        adaptSize(report);
        if (report.outcomes().stream()
                .anyMatch(outcome -> outcome instanceof Outcome.Unsent unsent && unsent.fenced())) {
            shutOut.add(shard);
        }
        if (report.usable()) {
            if (batch) {
                contested.remove(shard);
            }
            if (!contested.contains(shard)) {
                outage(shard).succeeded();
            }
        } else {
            retire(report.producer());
        }
        if (problem != null) {
            String waiting = "events of shard %d wait in the outbox and lose nothing".formatted(shard);
            outage(shard).failed(probe.explain(problem, waiting).getMessage());
        }
    }

    @Override
    public boolean hasOutcome() {
        return !reports.isEmpty();
    }

    @Override
    public Duration patience() {
        return PATIENCE;
    }

    @Override
    public List<String> problems() {
        return outages.values().stream()
                .flatMap(outage -> outage.problem().stream())
                .toList();
    }

    @Override
    public void retire() {
        List.copyOf(sessions.values()).forEach(session -> retire(session.producer));
        outages.clear();
        shutOut.clear();
        contested.clear();
        metadata.retire();
    }

    private void retire(ShardProducer producer) {
        sessions.remove(producer.shard());
        producer.retire();
    }

    @Override
    public void close(Duration limit) {
        retire();
        threads.shutdownNow();
    }

    private void report(Report report) {
        reports.add(report);
        onOutcome.run();
    }
}
