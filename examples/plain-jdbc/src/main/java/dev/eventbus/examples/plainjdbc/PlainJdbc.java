package dev.eventbus.examples.plainjdbc;

import static dev.eventbus.examples.plainjdbc.Assets.ASSET_ADDED;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.Event;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.examples.plainjdbc.Assets.AssetAdded;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.Outbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.concurrent.Semaphore;
import java.util.function.Consumer;
import javax.sql.DataSource;

/** Publisher, relay and consumer in one process. In life they are two services, each with a database of its own. */
public final class PlainJdbc {

    static final String DEAD_LETTERS = "dlq.events";

    private PlainJdbc() {}

    public static void main(String[] args) throws Exception {
        try (EmbeddedPostgres postgres = EmbeddedPostgres.start();
                EmbeddedKafka kafka = EmbeddedKafka.start();
                HikariDataSource database = pool(postgres, postgres.jdbcUrl())) {
            run(database, KafkaCluster.at(kafka.bootstrapServers()), System.out::println);
        }
    }

    static void run(DataSource database, KafkaCluster kafka, Consumer<String> screen) throws Exception {
        createTopicsAndTables(kafka, database);
        JdbcOutbox outbox = JdbcOutbox.postgres(); // one object, given to both ends: publisher and relay
        Assets assets = new Assets(database, outbox);
        Progress progress = new Progress(screen, new Semaphore(0));
        try (OutboxRelay relay = OutboxRelay.builder(outbox, database, kafka).build();
                ConsumerRunner runner = NetWorth.runner(kafka, JdbcInbox.postgres(database), progress)) {
            relay.start();
            runner.start();

            screen.accept("What commits is handled; what is rolled back never was");
            add(assets, "alice", 100, screen);
            add(assets, "bob", 7, screen);
            add(assets, "alice", 5_000, screen);
            add(assets, "alice", 20, screen);
            progress.await(3);

            screen.accept("An event that is published twice is handled once");
            Event<AssetAdded> event = Event.of(ASSET_ADDED, "import-4711", Instant.EPOCH, new AssetAdded("carol", 42L));
            publish(database, outbox, event);
            publish(database, outbox, event); // as after a commit whose answer was lost
            progress.await(2);
        }
        screen.accept("Net worth: " + NetWorth.of(database));
    }

    private static void add(Assets assets, String user, long amount, Consumer<String> screen) throws SQLException {
        boolean committed = assets.add(user, amount);
        screen.accept("  %-12s %s +%d".formatted(committed ? "committed" : "rolled back", user, amount));
    }

    private static void publish(DataSource database, Outbox outbox, Event<?> event) throws SQLException {
        try (Connection tx = database.getConnection()) {
            tx.setAutoCommit(false);
            outbox.within(tx).publish(event);
            tx.commit();
        }
    }

    static HikariDataSource pool(PostgresServer postgres, String url) {
        HikariDataSource pool = new HikariDataSource();
        pool.setJdbcUrl(url);
        pool.setUsername(postgres.user());
        pool.setPassword(postgres.password());
        pool.setMaximumPoolSize(13); // the runner's 10, the relay's two and the publisher's
        return pool;
    }

    /** A service leaves both to its operators and to its migration tool. */
    private static void createTopicsAndTables(KafkaCluster kafka, DataSource database) throws SQLException {
        Topics.of(kafka, topic(ASSET_ADDED.topic(), 3), topic(DEAD_LETTERS, 1)).provision();
        JdbcOutbox.postgres().createTables(database);
        JdbcInbox.createTables(database);
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE asset (user_id varchar(40) PRIMARY KEY, amount bigint NOT NULL)");
            statement.execute("CREATE TABLE net_worth (user_id varchar(40) PRIMARY KEY, total bigint NOT NULL)");
        }
    }

    private static TopicSpec topic(String name, int partitions) {
        return TopicSpec.of(name, partitions).replicationFactor(1); // the demo has one broker
    }
}
