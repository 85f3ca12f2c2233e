package dev.eventbus.examples.jdbi;

import static dev.eventbus.examples.jdbi.OrderPlaced.ORDER_PLACED;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.sql.SQLException;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import javax.sql.DataSource;
import org.jdbi.v3.core.Jdbi;
import org.jdbi.v3.core.statement.UnableToExecuteStatementException;

/** Orders publishes, Shipping consumes: in one process here, in life two services. */
public final class JdbiExample {

    static final String DEAD_LETTERS = "dlq.events";

    private JdbiExample() {}

    public static void main(String[] args) throws Exception {
        try (EmbeddedPostgres postgres = EmbeddedPostgres.start();
                EmbeddedKafka kafka = EmbeddedKafka.start();
                HikariDataSource database = pool(postgres, postgres.jdbcUrl())) {
            run(database, KafkaCluster.at(kafka.bootstrapServers()), System.out::println);
        }
    }

    static void run(DataSource database, KafkaCluster kafka, Consumer<String> screen) throws Exception {
        Jdbi jdbi = Jdbi.create(database);
        createTopicsAndTables(kafka, database, jdbi);
        JdbcOutbox outbox = JdbcOutbox.postgres(); // one object, given to both ends: publisher and relay
        Orders orders = new Orders(jdbi, outbox);
        Shipping shipping = new Shipping(jdbi);
        CountDownLatch handled = new CountDownLatch(4);
        try (OutboxRelay relay = OutboxRelay.builder(outbox, database, kafka).build();
                ConsumerRunner runner = shipping.runner(kafka, listener(handled))) {
            relay.start();
            runner.start();
            orders.place("alice", new OrderPlaced("alice", "lamp", 1), new OrderPlaced("alice", "bulb", 2));
            orders.place("bob", new OrderPlaced("bob", "chair", 4));
            screen.accept("3 lines of 2 customers are placed");
            try {
                orders.place("alice", new OrderPlaced("alice", "table", 1), new OrderPlaced("alice", "chair", 0));
            } catch (UnableToExecuteStatementException e) {
                screen.accept("2 lines are rolled back, since the second is refused: no event of either");
            }
            orders.place("alice", new OrderPlaced("alice", "shade", 1));
            screen.accept("1 line more is placed");
            if (!handled.await(1, TimeUnit.MINUTES)) {
                throw new IllegalStateException("waited in vain: " + runner.health());
            }
        }
        screen.accept("shipped to alice: " + shipping.parcelsOf("alice"));
        screen.accept("shipped to bob: " + shipping.parcelsOf("bob"));
    }

    private static RunnerListener listener(CountDownLatch handled) {
        return new RunnerListener() {
            @Override
            public void handled(String eventType, Delivery delivery, Duration took) {
                handled.countDown();
            }
        };
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
    private static void createTopicsAndTables(KafkaCluster kafka, DataSource database, Jdbi jdbi) throws SQLException {
        Topics.of(
                        kafka,
                        TopicSpec.of(ORDER_PLACED.topic(), 3).replicationFactor(1), // one broker
                        TopicSpec.of(DEAD_LETTERS, 1).replicationFactor(1))
                .provision();
        JdbcOutbox.postgres().createTables(database);
        JdbcInbox.createTables(database);
        jdbi.useHandle(handle -> handle.createScript("""
                        CREATE TABLE order_line (customer_id varchar(40), item varchar(40), pieces integer CHECK (pieces > 0));
                        CREATE TABLE parcel (
                          ord bigint GENERATED ALWAYS AS IDENTITY, customer_id varchar(40), item varchar(40), pieces integer)""").execute());
    }
}
