package dev.eventbus.benchmarks;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.EmbeddedPostgres;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.jspecify.annotations.Nullable;

/** One PostgreSQL and one broker, or three, for all contestants of a run. */
final class Servers implements AutoCloseable {

    static final int PARTITIONS = 6;
    private static final long TOPIC_SECONDS = 20;

    private final EmbeddedPostgres postgres;
    private final EmbeddedKafka kafka;
    private final Admin admin;

    /** Main thread only. */
    private @Nullable String deadLetters;

    private Servers(EmbeddedPostgres postgres, EmbeddedKafka kafka) {
        this.postgres = postgres;
        this.kafka = kafka;
        this.admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()));
    }

    /** With one broker. */
    static Servers start() throws SQLException {
        return start(1);
    }

    /**
     * Commits wait for the disk. {@code wal_level=logical} is for Debezium and costs the others next to nothing; the large
     * {@code max_wal_size} keeps checkpoints out of the measured time, one is made before each.
     */
    static Servers start(int brokers) throws SQLException {
        EmbeddedPostgres postgres = EmbeddedPostgres.builder()
                .fsync(true)
                .setting("synchronous_commit", "on")
                .setting("wal_level", "logical")
                .setting("max_wal_size", "8GB")
                .setting("shared_buffers", "512MB")
                .start();
        Servers servers =
                new Servers(postgres, EmbeddedKafka.builder().nodes(brokers).start());
        servers.checkDurable();
        return servers;
    }

    private void checkDurable() throws SQLException {
        for (String setting : List.of("fsync", "synchronous_commit", "full_page_writes")) {
            try (Connection connection = connect();
                    Statement statement = connection.createStatement();
                    ResultSet row = statement.executeQuery("SHOW " + setting)) {
                row.next();
                if (!row.getString(1).equals("on")) {
                    throw new IllegalStateException(setting + " is " + row.getString(1) + ", so no figure would count");
                }
            }
        }
    }

    String describe() {
        return "PostgreSQL %s (fsync and synchronous_commit on), Kafka %s (nodes: %d), %d processors"
                .formatted(
                        postgres.version(),
                        kafka.version(),
                        kafka.nodes(),
                        Runtime.getRuntime().availableProcessors());
    }

    EmbeddedPostgres postgres() {
        return postgres;
    }

    EmbeddedKafka kafka() {
        return kafka;
    }

    String bootstrapServers() {
        return kafka.bootstrapServers();
    }

    /** The settings that were found to be the fastest for whoever sends page by page and awaits each page. */
    Map<String, Object> pipelinedProducer() {
        return Map.of(
                "bootstrap.servers",
                bootstrapServers(),
                "acks",
                "all",
                "enable.idempotence",
                true,
                "compression.type",
                "lz4",
                "linger.ms",
                5,
                "batch.size",
                256 * 1024);
    }

    long brokerPid() {
        return kafka.pid(1);
    }

    Connection connect() throws SQLException {
        return DriverManager.getConnection(postgres.jdbcUrl(), postgres.user(), postgres.password());
    }

    /** Connections to one of the databases. The caller closes it. */
    HikariDataSource pool(String jdbcUrl, int connections) {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(jdbcUrl);
        pool.setUsername(postgres.user());
        pool.setPassword(postgres.password());
        pool.setMaximumPoolSize(connections);
        pool.setMinimumIdle(0);
        return new HikariDataSource(pool);
    }

    void execute(String sql) throws SQLException {
        try (Connection connection = connect();
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    /** A topic that compresses nothing itself: each contestant's producer decides. */
    String createTopic() throws ExecutionException, InterruptedException, TimeoutException {
        String topic = kafka.uniqueName("bench");
        admin.createTopics(Set.of(new NewTopic(topic, PARTITIONS, (short) 1)))
                .all()
                .get(TOPIC_SECONDS, TimeUnit.SECONDS);
        return topic;
    }

    /** Where those consumers leave what fails for good that have such a topic. */
    String deadLetterTopic() throws ExecutionException, InterruptedException, TimeoutException {
        if (deadLetters == null) {
            deadLetters = createTopic();
        }
        return deadLetters;
    }

    /** Whether every partition has all its replicas. */
    boolean isInSync() {
        try {
            Set<String> topics = admin.listTopics(new ListTopicsOptions().listInternal(true))
                    .names()
                    .get(TOPIC_SECONDS, TimeUnit.SECONDS);
            return admin.describeTopics(topics).allTopicNames().get(TOPIC_SECONDS, TimeUnit.SECONDS).values().stream()
                    .flatMap(topic -> topic.partitions().stream())
                    .allMatch(partition ->
                            partition.isr().size() == partition.replicas().size());
        } catch (ExecutionException | TimeoutException e) {
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    void deleteTopic(String topic) throws ExecutionException, InterruptedException, TimeoutException {
        admin.deleteTopics(Set.of(topic)).all().get(TOPIC_SECONDS, TimeUnit.SECONDS);
    }

    @Override
    public void close() {
        admin.close();
        kafka.close();
        postgres.close();
    }
}
