package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.testkit.FakeEventBus;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/** Whom a runner blames for what a handler threw: it has one attempt, so an event's own fault is a dead letter at once. */
enum Blame {
    THE_EVENT,
    THE_INFRASTRUCTURE;

    /** What a handler does with its database. */
    @FunctionalInterface
    interface Work {
        void run() throws Exception;
    }

    /** Runs a handler that does this, and fails if it does not fail. */
    static Blame forFailureOf(Work work) {
        Exception failure = failureOf(work);
        try (FakeEventBus bus = FakeEventBus.create()) {
            bus.start(ConsumerRunner.builder(bus.kafka(), "ledger")
                    .on(ASSET_UPDATED, (event, delivery) -> {
                        throw failure;
                    })
                    .retry(RetryConfig.custom().maxAttempts(1).build())
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            bus.publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1));
            bus.advance(Duration.ofSeconds(1));
            return bus.deadLetters().isEmpty() ? THE_INFRASTRUCTURE : THE_EVENT;
        }
    }

    /**
     * Runs a handler that does this, and fails unless the infrastructure is blamed.
     *
     * @param said SQLSTATE and code of the failure, so that it is this row of the table that is tried
     */
    static void assertInfrastructureBlamedFor(String said, Work work) {
        List<String> heard = new ArrayList<>();
        Blame blame = forFailureOf(() -> {
            try {
                work.run();
            } catch (SQLException e) {
                heard.add(e.getSQLState() + "/" + e.getErrorCode());
                throw e;
            }
        });
        assertThat(heard).containsExactly(said);
        assertThat(blame).isEqualTo(THE_INFRASTRUCTURE);
    }

    /** Printed, so that a run shows what servers and drivers really say. */
    private static Exception failureOf(Work work) {
        try {
            work.run();
        } catch (Exception e) {
            SQLException sql = sqlIn(e);
            if (sql != null) {
                System.out.printf("%s %s/%d: %s%n", e.getClass().getName(), sql.getSQLState(), sql.getErrorCode(), sql);
            }
            return e;
        }
        throw new AssertionError("it did not fail");
    }

    private static @Nullable SQLException sqlIn(Throwable e) {
        Throwable cause = e;
        while (cause != null && !(cause instanceof SQLException)) {
            cause = cause.getCause();
        }
        return (SQLException) cause;
    }

    static void execute(Connection connection, String... statements) throws SQLException {
        for (String sql : statements) {
            try (var statement = connection.createStatement()) {
                statement.execute(sql);
            }
        }
    }

    /** Two transactions that lock 1 and 2 crosswise; throws what the one that loses is told. */
    static void deadlock(Connection one, Connection other, String lockFirst, String lockSecond) throws Exception {
        deadlock(one, other, lockFirst, lockSecond, () -> {});
    }

    /** @param otherWaits returns once the other waits for the first lock */
    static void deadlock(Connection one, Connection other, String lockFirst, String lockSecond, Runnable otherWaits)
            throws Exception {
        one.setAutoCommit(false);
        other.setAutoCommit(false);
        execute(one, lockFirst);
        execute(other, lockSecond);
        CompletableFuture<Void> crosswise = CompletableFuture.runAsync(() -> {
            try {
                execute(other, lockFirst);
                other.rollback();
            } catch (SQLException e) {
                throw new IllegalStateException(e);
            }
        });
        try {
            otherWaits.run();
            execute(one, lockSecond);
        } finally {
            one.rollback();
        }
        try {
            crosswise.get(30, SECONDS);
        } catch (ExecutionException | TimeoutException e) {
            throw new IllegalStateException("the other session has lost", e);
        }
    }
}
