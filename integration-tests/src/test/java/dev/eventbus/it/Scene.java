package dev.eventbus.it;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.BiFunction;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/** One test's own corner of the shared servers: a database with all tables, and topics behind a prefix that nobody else uses. */
public final class Scene implements AutoCloseable {

    /**
     * For producers that fill a topic just made. A partition without any state of a producer accepts whatever sequence comes first:
     * if the first request fails while the broker still learns of the topic and the second does not, the first is out of order for ever.
     */
    public static final Map<String, Object> ONE_AT_A_TIME = Map.of("max.in.flight.requests.per.connection", 1);

    private final HikariDataSource database;
    private final KafkaCluster kafka;
    private final String unique;
    private final JdbcOutbox outbox;
    private final Producer<byte[], byte[]> rawProducer;
    private final Queue<Future<?>> sends = new ConcurrentLinkedQueue<>();
    private final Deque<AutoCloseable> started = new ArrayDeque<>();

    private Scene(HikariDataSource database, JdbcOutbox outbox, KafkaCluster kafka, String unique) {
        this.database = database;
        this.outbox = outbox;
        this.kafka = kafka;
        this.unique = unique;
        this.rawProducer = kafka.producer(ONE_AT_A_TIME);
    }

    /** @param topics name and partitions, such as {@code asset.events:3} */
    public static Scene create(KafkaServer server, PostgresServer postgres, String... topics) throws SQLException {
        return create(KafkaCluster.at(server.bootstrapServers()), server.uniqueName("it"), postgres, topics);
    }

    /**
     * On a cluster that wants a password.
     *
     * @param unique what names topics and groups of nobody else
     */
    public static Scene create(KafkaCluster cluster, String unique, PostgresServer postgres, String... topics)
            throws SQLException {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(postgres.createDatabase(postgres.uniqueName("it")));
        pool.setUsername(postgres.user());
        pool.setPassword(postgres.password());
        Scene scene = create(cluster, unique, pool, JdbcOutbox.postgres(), topics);
        JdbcInbox.createTables(scene.database);
        return scene;
    }

    /** On another database, of which this makes the outbox's tables only. */
    public static Scene create(KafkaServer server, HikariConfig pool, JdbcOutbox outbox, String... topics)
            throws SQLException {
        return create(KafkaCluster.at(server.bootstrapServers()), server.uniqueName("it"), pool, outbox, topics);
    }

    private static Scene create(
            KafkaCluster cluster, String unique, HikariConfig pool, JdbcOutbox outbox, String... topics)
            throws SQLException {
        pool.setMaximumPoolSize(40);
        pool.setMinimumIdle(0);
        Scene scene = new Scene(new HikariDataSource(pool), outbox, cluster.topicPrefix(unique + "."), unique);
        outbox.createTables(scene.database);
        TopicSpec[] specs = Arrays.stream(topics)
                .map(topic -> topic.split(":"))
                .map(topic -> TopicSpec.of(topic[0], Integer.parseInt(topic[1]))
                        .replicationFactor(1)
                        .minInsyncReplicas(1))
                .toArray(TopicSpec[]::new);
        Topics.of(scene.kafka, specs).provision();
        return scene;
    }

    public HikariDataSource database() {
        return database;
    }

    public KafkaCluster kafka() {
        return kafka;
    }

    public JdbcOutbox outbox() {
        return outbox;
    }

    public JdbcInbox inbox() {
        return JdbcInbox.postgres(database);
    }

    /** A group of this scene's own. */
    public String group(String name) {
        return unique + "." + name;
    }

    /** A relay that runs until the scene ends, unless it is closed before. */
    public OutboxRelay startRelay() {
        OutboxRelay relay = OutboxRelay.builder(outbox, database, kafka).build();
        relay.start();
        started.push(relay);
        return relay;
    }

    /** Starts a runner that runs until the scene ends, unless it is closed before. */
    public ConsumerRunner start(ConsumerRunner runner) {
        runner.start();
        started.push(runner);
        return runner;
    }

    /** Work in one transaction that is committed. */
    public void inTransaction(Work work) throws SQLException {
        try (Connection tx = database.getConnection()) {
            tx.setAutoCommit(false);
            work.in(tx);
            tx.commit();
        }
    }

    /** What a transaction does. */
    @FunctionalInterface
    public interface Work {
        void in(Connection tx) throws SQLException;
    }

    public void execute(String sql) throws SQLException {
        try (Connection connection = database.getConnection();
                PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.execute();
        }
    }

    public long count(String sql) throws SQLException {
        try (Connection connection = database.getConnection();
                PreparedStatement statement = connection.prepareStatement(sql);
                ResultSet rows = statement.executeQuery()) {
            rows.next();
            return rows.getLong(1);
        }
    }

    public List<String> strings(String sql) throws SQLException {
        try (Connection connection = database.getConnection();
                PreparedStatement statement = connection.prepareStatement(sql);
                ResultSet rows = statement.executeQuery()) {
            List<String> values = new ArrayList<>();
            while (rows.next()) {
                values.add(rows.getString(1));
            }
            return values;
        }
    }

    /** As a producer that knows nothing of eventbus. */
    public void sendRaw(String topic, @Nullable String key, byte @Nullable [] value) {
        send(new ProducerRecord<>(kafka.physicalTopic(topic), key == null ? null : key.getBytes(UTF_8), value));
    }

    public void sendRaw(String topic, String key, String value) {
        sendRaw(topic, key, value.getBytes(UTF_8));
    }

    /** Puts a record of a topic there once more, as it is. */
    public void sendAgain(ConsumerRecord<byte[], byte[]> record) {
        send(new ProducerRecord<>(
                record.topic(), record.partition(), null, record.key(), record.value(), record.headers()));
    }

    /** A record as it is, without the prefix of topics. */
    public void send(ProducerRecord<byte[], byte[]> record) {
        sends.add(rawProducer.send(record));
    }

    /** Waits until Kafka has all that was sent raw. */
    public void flush() {
        rawProducer.flush();
        for (Future<?> send; (send = sends.poll()) != null; ) {
            try {
                send.get();
            } catch (InterruptedException | ExecutionException e) {
                throw new IllegalStateException("Kafka refused a record of the test's own", e);
            }
        }
    }

    /** All that is in some topics now, in order for each partition. */
    public List<ConsumerRecord<byte[], byte[]>> records(String... topics) {
        flush();
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        try (Consumer<byte[], byte[]> consumer = kafka.consumer(Map.of())) {
            List<TopicPartition> partitions = Arrays.stream(topics)
                    .flatMap(topic -> consumer.partitionsFor(kafka.physicalTopic(topic)).stream())
                    .map(partition -> new TopicPartition(partition.topic(), partition.partition()))
                    .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream()
                    .anyMatch(partition -> consumer.position(partition) < ends.getOrDefault(partition, 0L))) {
                consumer.poll(Duration.ofMillis(200)).forEach(records::add);
            }
        }
        return records;
    }

    /** Sum of the offsets at which the partitions of a topic end. */
    public long endOffsets(String topic) {
        return sum(topic, Consumer::endOffsets);
    }

    /** Sum of the offsets at which the partitions of a topic begin: what retention has taken away. */
    public long beginningOffsets(String topic) {
        return sum(topic, Consumer::beginningOffsets);
    }

    private long sum(
            String topic,
            BiFunction<Consumer<byte[], byte[]>, List<TopicPartition>, Map<TopicPartition, Long>> offsets) {
        try (Consumer<byte[], byte[]> consumer = kafka.consumer(Map.of())) {
            List<TopicPartition> partitions = consumer.partitionsFor(kafka.physicalTopic(topic)).stream()
                    .map(partition -> new TopicPartition(partition.topic(), partition.partition()))
                    .toList();
            return offsets.apply(consumer, partitions).values().stream()
                    .mapToLong(Long::longValue)
                    .sum();
        }
    }

    /** Sum of the offsets that a group has committed in a topic. */
    public long committed(String group, String topic) {
        try (Consumer<byte[], byte[]> consumer = kafka.consumer(Map.of("group.id", group))) {
            Set<TopicPartition> partitions = Set.copyOf(consumer.partitionsFor(kafka.physicalTopic(topic)).stream()
                    .map(partition -> new TopicPartition(partition.topic(), partition.partition()))
                    .toList());
            long sum = 0;
            for (OffsetAndMetadata offset : consumer.committed(partitions).values()) {
                sum += offset == null ? 0 : offset.offset();
            }
            return sum;
        }
    }

    @Override
    public void close() throws Exception {
        for (AutoCloseable running : started) {
            running.close();
        }
        rawProducer.close(Duration.ofSeconds(5));
        database.close();
    }
}
