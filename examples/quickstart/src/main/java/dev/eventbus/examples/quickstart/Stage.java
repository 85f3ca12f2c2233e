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
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

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
        try {
            CompletableFuture<EmbeddedKafka> startingBroker = keepStarting(EmbeddedKafka::start);
            postgres = keep(EmbeddedPostgres.start());
            broker = startingBroker.join();
            dataSource = keep(pool(postgres));
            kafka = KafkaCluster.at(broker.bootstrapServers());
            Topics.of(kafka, Events.topics()).provision();
            createTables();

            // region: wire
            JdbcOutbox outbox = JdbcOutbox.postgres(); // one object, given to both ends: publisher and relay
            assets = new AssetService(dataSource, outbox);
            housing = new HousingService(dataSource, outbox);
            OutboxRelay relay =
                    keep(OutboxRelay.builder(outbox, dataSource, kafka).build());
            relay.start();

            inbox = JdbcInbox.postgres(dataSource);
            assetRunner =
                    keep(Calculator.runner(kafka, inbox, Events.ASSET_UPDATED, this::dropCachedResult, commentary));
            assetRunner.start();
            // end: wire
            housingRunner =
                    keep(Calculator.runner(kafka, inbox, Events.HOUSING_UPDATED, this::dropCachedResult, commentary));
            housingRunner.start();
            keep(Monitoring.runner(kafka, commentary::deadLetter)).start();
        } catch (SQLException | RuntimeException e) { // what was started must not keep the process
            closeAfter(e);
            throw e;
        }
    }

    private void closeAfter(Exception failure) {
        try {
            close();
        } catch (Exception e) {
            failure.addSuppressed(e);
        }
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

    /** Starts a broker beside all else; if that fails meanwhile, it is closed as soon as it is up. */
    private CompletableFuture<EmbeddedKafka> keepStarting(Supplier<EmbeddedKafka> start) {
        CompletableFuture<EmbeddedKafka> starting = CompletableFuture.supplyAsync(start);
        keep(() -> starting.handle((started, failure) -> started)
                .thenAccept(started -> Optional.ofNullable(started).ifPresent(EmbeddedKafka::close))
                .join());
        return starting;
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

    /** Closes all, whatever one of them throws. */
    @Override
    public void close() throws Exception {
        Exception failure = null;
        while (!open.isEmpty()) {
            try {
                open.pop().close();
            } catch (Exception e) {
                if (failure == null) {
                    failure = e;
                } else {
                    failure.addSuppressed(e);
                }
            }
        }
        if (failure != null) {
            throw failure;
        }
    }
}
