package dev.eventbus.examples.quickstart;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.Event;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.Topics;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;

/** The servers, the services and everything that runs, wired; closed in the opposite order. */
final class Stage implements AutoCloseable {

    private final Deque<AutoCloseable> open = new ArrayDeque<>();
    private final Set<String> broken = ConcurrentHashMap.newKeySet();
    private final Commentary commentary;
    private final EmbeddedPostgres postgres;
    private final EmbeddedKafka broker;
    private final HikariDataSource dataSource;
    private final KafkaCluster kafka;
    private final JdbcInbox inbox;
    private final AssetService assets;
    private final HousingService housing;
    private final ConsumerRunner assetRunner;
    private final ConsumerRunner housingRunner;

    Stage(Commentary commentary) throws SQLException {
        this.commentary = commentary;
        CompletableFuture<EmbeddedKafka> startingBroker = CompletableFuture.supplyAsync(EmbeddedKafka::start);
        postgres = keep(EmbeddedPostgres.start());
        broker = keep(startingBroker.join());
        dataSource = keep(pool(postgres));
        kafka = KafkaCluster.at(broker.bootstrapServers());
        Topics.of(kafka, Events.topics()).provision();
        createTables();

        // region: wire
        JdbcOutbox outbox = JdbcOutbox.postgres(); // one object, given to both ends: publisher and relay
        assets = new AssetService(dataSource, outbox);
        housing = new HousingService(dataSource, outbox);
        OutboxRelay relay = keep(OutboxRelay.builder(outbox, dataSource, kafka).build());
        relay.start();

        inbox = JdbcInbox.postgres(dataSource);
        assetRunner = keep(Calculator.runner(kafka, inbox, Events.ASSET_UPDATED, this::dropCachedResult, commentary));
        assetRunner.start();
        // end: wire
        housingRunner =
                keep(Calculator.runner(kafka, inbox, Events.HOUSING_UPDATED, this::dropCachedResult, commentary));
        housingRunner.start();
        keep(Monitoring.runner(kafka, commentary::deadLetter)).start();
    }

    /** A service leaves this to its migration tool. */
    private void createTables() throws SQLException {
        JdbcOutbox.postgres().createTables(dataSource);
        JdbcInbox.postgres(dataSource).createTables();
        try (Connection connection = dataSource.getConnection()) {
            Tables.create(connection);
        }
    }

    AssetService assets() {
        return assets;
    }

    HousingService housing() {
        return housing;
    }

    KafkaCluster kafka() {
        return kafka;
    }

    JdbcInbox inbox() {
        return inbox;
    }

    HikariDataSource dataSource() {
        return dataSource;
    }

    /** Whether the Calculator has its partitions: until then events wait in Kafka. */
    boolean isReady() {
        return assetRunner.health().partitions().size() == 3
                && housingRunner.health().partitions().size() == 3;
    }

    String describe() {
        return "PostgreSQL at %s, Kafka at %s".formatted(postgres.jdbcUrl(), broker.bootstrapServers());
    }

    void breakHandlerFor(String user) {
        broken.add(user);
    }

    /** Mends the handler; true if it was broken. */
    boolean fixHandler() {
        boolean wasBroken = !broken.isEmpty();
        broken.clear();
        return wasBroken;
    }

    private void dropCachedResult(Connection transaction, Event<?> event, int attempt) throws SQLException {
        if (broken.contains(event.key())) {
            commentary.failing(event, attempt);
            throw new IllegalStateException("the price service has no answer");
        }
        Tables.dropCachedResult(transaction, event.key());
        Tables.noteEffect(transaction, event.type().topic(), event.id());
    }

    private <T extends AutoCloseable> T keep(T closeable) {
        open.push(closeable);
        return closeable;
    }

    private static HikariDataSource pool(EmbeddedPostgres postgres) {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(postgres.jdbcUrl());
        config.setUsername(postgres.user());
        config.setPassword(postgres.password());
        config.setMaximumPoolSize(80);
        config.setMinimumIdle(4);
        return new HikariDataSource(config);
    }

    @Override
    public void close() throws Exception {
        for (AutoCloseable closeable : open) {
            closeable.close();
        }
    }
}
