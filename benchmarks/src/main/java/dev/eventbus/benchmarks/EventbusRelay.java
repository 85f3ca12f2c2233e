package dev.eventbus.benchmarks;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.RelayListener;
import dev.eventbus.outbox.SendMode;
import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;

/** Us, with the defaults unless it says so: one or several relays in this JVM. */
final class EventbusRelay implements Contestant {

    private static final Duration ARRANGED_WITHIN = Duration.ofSeconds(8);

    private final String name;
    private final int instances;
    private final UnaryOperator<OutboxRelay.Builder> settings;
    private final boolean tellsCommits;

    private EventbusRelay(
            String name, int instances, UnaryOperator<OutboxRelay.Builder> settings, boolean tellsCommits) {
        this.name = name;
        this.instances = instances;
        this.settings = settings;
        this.tellsCommits = tellsCommits;
    }

    /** With the defaults, and {@code committed()} after each commit. */
    static EventbusRelay of(String name) {
        return new EventbusRelay(name, 1, settings -> settings, true);
    }

    /** Several of them, each with its own producer, connection and thread. */
    EventbusRelay instances(int count) {
        return new EventbusRelay(name, count, settings, tellsCommits);
    }

    /** Each batch one Kafka transaction. */
    EventbusRelay strict() {
        return new EventbusRelay(name, instances, builder -> builder.sendMode(SendMode.STRICT), tellsCommits);
    }

    /** Publishers do not call {@code committed()}: commits are found by looking. */
    EventbusRelay findingCommitsByLooking() {
        return new EventbusRelay(name, instances, settings, false);
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public void createTables(Servers servers) throws SQLException {
        createOutbox(servers);
    }

    @Override
    public void empty(Servers servers) throws SQLException {
        emptyOutbox(servers);
    }

    @Override
    public void fill(Connection tx, String topic, long from, long to) throws SQLException {
        fillOutbox(tx, topic, from, to);
    }

    static void createOutbox(Servers servers) throws SQLException {
        try (Connection connection = servers.connect()) {
            JdbcOutbox.postgres().createTables(connection);
        }
    }

    static void emptyOutbox(Servers servers) throws SQLException {
        servers.execute("TRUNCATE eventbus_outbox");
    }

    /** Into the outbox's own table, as the publisher would have written it. */
    static void fillOutbox(Connection tx, String topic, long from, long to) throws SQLException {
        String sql = """
                INSERT INTO eventbus_outbox (shard, id, aggregatetype, aggregateid, type, payload, content_type, created_at)
                SELECT (?::smallint[])[n %% %d + 1], gen_random_uuid()::text, ?, %s, ?, %s, 'application/json', clock_timestamp()
                FROM generate_series(?, ?) AS n ORDER BY n
                """.formatted(SampleEvents.KEYS, SampleEvents.keySql(), SampleEvents.valueSql());
        try (PreparedStatement insert = tx.prepareStatement(sql)) {
            insert.setArray(1, tx.createArrayOf("int2", SampleEvents.shards()));
            insert.setString(2, topic);
            insert.setString(3, SampleEvents.TYPE);
            insert.setLong(4, from);
            insert.setLong(5, to - 1);
            insert.executeUpdate();
        }
    }

    @Override
    public boolean mustRunBefore() {
        return instances > 1;
    }

    @Override
    public Running start(Servers servers, String topic) {
        return new Relays(servers, topic);
    }

    private final class Relays implements Running, RelayListener {

        private final Servers servers;
        private final String topic;
        private final HikariDataSource database;
        private final JdbcOutbox outbox = JdbcOutbox.postgres();
        private final List<OutboxRelay> relays;
        private final AtomicLong settled = new AtomicLong();

        Relays(Servers servers, String topic) {
            this.servers = servers;
            this.topic = topic;
            this.database = servers.pool(servers.postgres().jdbcUrl(), 2 * instances);
            KafkaCluster kafka = KafkaCluster.at(servers.bootstrapServers());
            this.relays = Stream.generate(
                            () -> OutboxRelay.builder(outbox, database, kafka).listener(this))
                    .limit(instances)
                    .map(builder -> settings.apply(builder).build())
                    .toList();
            relays.forEach(OutboxRelay::start);
        }

        @Override
        public void relayed(int events) {
            settled.addAndGet(events);
        }

        @Override
        public void awaitReady() {
            long deadline = System.nanoTime() + ARRANGED_WITHIN.toNanos();
            while (System.nanoTime() - deadline < 0
                    && relays.stream()
                            .anyMatch(relay -> relay.health().ownedShards().isEmpty())) {
                LockSupport.parkNanos(Duration.ofMillis(10).toNanos());
            }
        }

        @Override
        public void committed() {
            outbox.committed();
        }

        @Override
        public Publishing publishing() throws SQLException {
            Runnable afterCommit = tellsCommits ? outbox::committed : () -> {};
            return new EventbusPublishing(servers.connect(), outbox, topic, afterCommit);
        }

        @Override
        public long settled() {
            return settled.get();
        }

        @Override
        public void close() {
            relays.forEach(OutboxRelay::close);
            database.close();
        }
    }
}
