package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerHealth;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.faults.crash.HaltPoint;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.retry.RetryConfig;
import java.io.IOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;

/**
 * What {@link ConsumerProcess} starts: one runner with an inbox that runs until standard input ends or SIGTERM comes, and is then
 * closed. What its handler does follows from how an event's id begins: {@code slow} takes a second, {@code takes-250} as many
 * milliseconds, {@code poison} ends the process, {@code fails} fails unless it is healed, {@code huge} asks for more memory than there
 * is; all others succeed at once.
 */
final class ConsumerMain {

    /** System property: what failed before succeeds. */
    static final String HEALED = "eventbus.it.healed";

    /** System property: milliseconds before the second attempt; 10 without it. */
    static final String BACK_OFF = "eventbus.it.backOff";

    /** System property: keys whose event failed for good are parked; else their letters are sent and they go on. */
    static final String PARKS = "eventbus.it.parks";

    private static final int AS_BY_SIGKILL = 137;
    private static final Duration CLOSES_WITHIN = Duration.ofSeconds(20);

    private ConsumerMain() {}

    /** @param arguments JDBC address, user, password, bootstrap servers, topic prefix, group, settings of Kafka's clients */
    public static void main(String[] arguments) throws IOException {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(arguments[0]);
        pool.setUsername(arguments[1]);
        pool.setPassword(arguments[2]);
        pool.setMaximumPoolSize(40);
        pool.setMinimumIdle(0);
        KafkaCluster kafka = ConsumerProcess.cluster(arguments[3], arguments[4], arguments[6]);
        HaltPoint halt = HaltPoint.ofThisJvm();
        HikariDataSource database = new HikariDataSource(pool);
        JdbcInbox inbox = JdbcInbox.postgres(halt.in(database));
        try (database;
                ConsumerRunner runner = ConsumerRunner.builder(
                                halt.in(CrashPoint.ofThisJvm().in(kafka)), arguments[5])
                        .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> handle(event.id(), tx.connection()))
                        .retry(RetryConfig.custom()
                                .maxAttempts(2)
                                .intervalFunction(attempt -> Long.getLong(BACK_OFF, 10))
                                .build())
                        .afterRetries(
                                Boolean.getBoolean(PARKS)
                                        ? AfterRetries.parkKey(inbox, "dlq.events")
                                        : AfterRetries.deadLetter("dlq.events"))
                        .listener(new Teller())
                        .build()) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> runner.close(CLOSES_WITHIN)));
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
        if (id.startsWith("takes-")) {
            execute(transaction, "SELECT pg_sleep(0.%s)".formatted(id.split("-")[1]));
        }
        if (id.startsWith("poison")) {
            execute(transaction, "SELECT pg_sleep(0.2)"); // so that others run beside it
            Runtime.getRuntime().halt(AS_BY_SIGKILL);
        }
        if (id.startsWith("huge") && !Boolean.getBoolean(HEALED)) {
            System.out.println(new long[Integer.MAX_VALUE - 8].length);
        }
        if (id.startsWith("fails") && !Boolean.getBoolean(HEALED)) {
            throw new IllegalStateException();
        }
        try (PreparedStatement insert = transaction.prepareStatement("INSERT INTO effect VALUES (?)")) {
            insert.setString(1, id);
            insert.executeUpdate();
        }
    }

    /** Tells the parent how the runner is doing. */
    private static final class Teller implements RunnerListener {

        /** Of the polling thread. */
        private RunnerHealth.Status told = RunnerHealth.Status.NEW;

        @Override
        public void observed(RunnerHealth health) {
            if (health.status() != told) {
                told = health.status();
                System.out.println(ConsumerProcess.STATUS + told);
            }
        }

        @Override
        public void rebalanced(int assigned, int revoked, int lost) {
            System.out.println(ConsumerProcess.ASSIGNED + assigned);
        }
    }

    private static void execute(Connection transaction, String sql) throws SQLException {
        try (PreparedStatement statement = transaction.prepareStatement(sql)) {
            statement.execute();
        }
    }
}
