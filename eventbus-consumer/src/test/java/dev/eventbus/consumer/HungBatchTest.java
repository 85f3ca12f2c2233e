package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.inbox.JdbcInbox;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Which record is told of when a handler hangs that shares a transaction with others. */
@Timeout(60)
class HungBatchTest {

    private final MockKafka kafka = MockKafka.create();
    private final JdbcDataSource database = new JdbcDataSource();
    private final List<String> runs = new CopyOnWriteArrayList<>();
    private final AtomicInteger observed = new AtomicInteger();
    private final CountDownLatch hangs = new CountDownLatch(1);
    private final CountDownLatch returns = new CountDownLatch(1);
    private JdbcInbox inbox = JdbcInbox.h2(database);

    @BeforeEach
    void tables() throws SQLException {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        inbox = JdbcInbox.h2(database).batching(100);
        inbox.createTables();
    }

    @AfterEach
    void letGo() {
        returns.countDown();
    }

    private void hang() throws InterruptedException {
        hangs.countDown();
        returns.await();
    }

    private ConsumerRunnerBuilder builder() {
        return ConsumerRunner.builder(kafka, "g")
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .listener(new RunnerListener() {
                    @Override
                    public void observed(RunnerHealth health) {
                        observed.incrementAndGet();
                    }
                });
    }

    /** What health says a minute after the handler of one of five events of a key has begun to hang. */
    private List<String> saidOfFive(ConsumerRunner runner) throws InterruptedException {
        for (int i = 1; i <= 5; i++) {
            kafka.event(P0, "alice", "a" + i);
        }
        kafka.assign(P0);
        runner.start();
        assertThat(hangs.await(20, TimeUnit.SECONDS)).isTrue();
        passes(Duration.ofSeconds(1));
        passes(Duration.ofSeconds(61));
        return runner.health().problems().stream()
                .filter(problem -> problem.startsWith("EB-"))
                .toList();
    }

    private void passes(Duration time) {
        int before = observed.get();
        kafka.advance(time);
        await(() -> observed.get() > before);
    }

    @Test
    void of_handlers_that_are_called_one_by_one_the_record_is_named_whose_handler_hangs() throws InterruptedException {
        ConsumerRunner runner = builder()
                .inTransaction(inbox, ASSET, (event, tx) -> {
                    runs.add(event.id());
                    if (event.id().equals("a3")) {
                        hang();
                    }
                })
                .build();
        try {
            assertThat(saidOfFive(runner))
                    .singleElement()
                    .asString()
                    .startsWith("EB-3004 1 records have been at work for more than 60 s, asset.events-0@2 since 2030");
            assertThat(runs).containsExactly("a1", "a2", "a3");
            assertThat(runner.health().running()).as("in one transaction").isEqualTo(5);
            returns.countDown();
            passes(Duration.ofSeconds(1));
            await(() -> kafka.committed(P0) == 5 || passed());
            assertThat(runs).containsExactly("a1", "a2", "a3", "a4", "a5");
        } finally {
            returns.countDown();
            runner.close(Duration.ofSeconds(5));
        }
    }

    @Test
    void of_a_handler_of_lists_the_first_record_is_named_and_how_many_there_are() throws InterruptedException {
        ConsumerRunner runner = builder()
                .inTransactionBatch(inbox, ASSET, (events, tx) -> hang())
                .build();
        try {
            assertThat(saidOfFive(runner))
                    .singleElement()
                    .asString()
                    .startsWith(
                            "EB-3004 5 records have been at work for more than 60 s, asset.events-0@0 (the first of 5 that are handled together) since 2030");
            returns.countDown();
            await(() -> kafka.committed(P0) == 5 || passed());
        } finally {
            returns.countDown();
            runner.close(Duration.ofSeconds(5));
        }
    }

    /** Commits are made as time goes by. */
    private boolean passed() {
        kafka.advance(Duration.ofMillis(100));
        return false;
    }

    private static void await(BooleanSupplier condition) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as("waited in vain").isLessThan(deadline);
            LockSupport.parkNanos(200_000);
        }
    }
}
