package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.it.outbox.CrashPoint;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.retry.RetryConfig;
import java.io.IOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Map;

/**
 * What {@link ConsumerProcess} starts: one runner with an inbox that runs until standard input ends, and is then closed. What its
 * handler does follows from how an event's id begins: {@code slow} takes a second, {@code poison} ends the process, {@code fails}
 * fails unless it is healed; all others succeed at once.
 */
final class ConsumerMain {

    /** System property: what failed before succeeds. */
    static final String HEALED = "eventbus.it.healed";

    private static final int AS_BY_SIGKILL = 137;

    private ConsumerMain() {}

    /** @param arguments JDBC address, user, password, bootstrap servers, topic prefix, group */
    public static void main(String[] arguments) throws IOException {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(arguments[0]);
        pool.setUsername(arguments[1]);
        pool.setPassword(arguments[2]);
        pool.setMaximumPoolSize(40);
        pool.setMinimumIdle(0);
        // a dead member is known as such soon
        KafkaCluster kafka = KafkaCluster.of(Map.of(
                        "bootstrap.servers",
                        arguments[3],
                        "session.timeout.ms",
                        "1500",
                        "heartbeat.interval.ms",
                        "300"))
                .topicPrefix(arguments[4]);
        try (HikariDataSource database = new HikariDataSource(pool);
                ConsumerRunner runner = ConsumerRunner.builder(
                                CrashPoint.ofThisJvm().in(kafka), arguments[5])
                        .inTransaction(
                                JdbcInbox.postgres(database),
                                ASSET_UPDATED,
                                (event, tx) -> handle(event.id(), tx.connection()))
                        .retry(RetryConfig.custom()
                                .maxAttempts(2)
                                .intervalFunction(attempt -> 10L)
                                .build())
                        .afterRetries(AfterRetries.deadLetter("dlq.events"))
                        .build()) {
            runner.start();
            while (System.in.read() >= 0) {
                continue; // only its end says something
            }
        }
    }

    private static void handle(String id, Connection transaction) throws SQLException {
        System.out.println(ConsumerProcess.STARTED + id);
        if (id.startsWith("slow")) {
            execute(transaction, "SELECT pg_sleep(1)");
        }
        if (id.startsWith("poison")) {
            execute(transaction, "SELECT pg_sleep(0.2)"); // so that others run beside it
            Runtime.getRuntime().halt(AS_BY_SIGKILL);
        }
        if (id.startsWith("fails") && !Boolean.getBoolean(HEALED)) {
            throw new IllegalStateException();
        }
        try (PreparedStatement insert = transaction.prepareStatement("INSERT INTO effect VALUES (?)")) {
            insert.setString(1, id);
            insert.executeUpdate();
        }
    }

    private static void execute(Connection transaction, String sql) throws SQLException {
        try (PreparedStatement statement = transaction.prepareStatement(sql)) {
            statement.execute();
        }
    }
}
