package dev.eventbus.testkit;

import static dev.eventbus.testkit.Calculator.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.testkit.Calculator.AssetUpdated;
import io.github.resilience4j.retry.RetryConfig;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import javax.sql.DataSource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** What is there after a runner has crashed at a point, and what its successor makes of it. */
@Execution(ExecutionMode.CONCURRENT)
class CrashesTest {

    private static final String GROUP = "ledger";
    private static final String TOPIC = "asset.events";
    private static final String LETTERS = "dlq.events";

    private final FakeEventBus bus = FakeEventBus.create();
    private final Faults faults = bus.faults();
    private final List<String> runs = new ArrayList<>();
    private Ledger ledger;

    @BeforeEach
    void open() throws SQLException {
        ledger = Ledger.create();
    }

    @AfterEach
    void close() {
        bus.close();
        ledger.close();
    }

    @Test
    void after_the_inbox_insert_nothing_has_happened() throws SQLException {
        crash(CrashPoint.AFTER_INBOX_INSERT);
        assertThat(runs).isEmpty();
        assertThat(ledger.booked()).isEmpty();

        goOn();
        assertThat(runs).containsExactly("bob/1", "bob/2");
        assertThat(ledger.booked()).containsExactly("bob/1", "bob/2");
    }

    @Test
    void after_the_handler_its_effect_is_rolled_back_and_it_runs_again() throws SQLException {
        crash(CrashPoint.AFTER_HANDLER);
        assertThat(runs).containsExactly("bob/1");
        assertThat(ledger.booked()).isEmpty();

        goOn();
        assertThat(runs).containsExactly("bob/1", "bob/1", "bob/2");
        assertThat(ledger.booked()).containsExactly("bob/1", "bob/2");
    }

    @Test
    void after_the_commit_the_effect_stands_and_the_handler_is_not_run_again() throws SQLException {
        crash(CrashPoint.AFTER_COMMIT);
        assertThat(ledger.booked()).containsExactly("bob/1");
        assertThat(bus.committedOffset(GROUP, TOPIC, 0).orElse(0)).isZero();

        goOn();
        assertThat(runs).containsExactly("bob/1", "bob/2");
        assertThat(ledger.booked()).containsExactly("bob/1", "bob/2");
    }

    @Test
    void after_a_dead_letter_it_is_sent_once_more_and_the_handler_is_not_run_again() throws SQLException {
        faults.failTimes(2).forKey("bob");
        crash(CrashPoint.AFTER_DEAD_LETTER);
        assertThat(bus.deadLetters()).hasSize(1);
        assertThat(runs).containsExactly("bob/1", "bob/1");

        goOn();
        assertThat(bus.deadLetters()).hasSize(2);
        assertThat(runs).containsExactly("bob/1", "bob/1", "bob/2");
        assertThat(ledger.booked()).containsExactly("bob/2");
    }

    @Test
    void before_the_offsets_are_committed_a_handler_without_an_inbox_has_run_and_runs_again() {
        bus.start(plain());
        bus.publish(ASSET_UPDATED, new AssetUpdated("bob", 1));
        faults.crashAt(CrashPoint.BEFORE_OFFSET_COMMIT);
        bus.runUntilIdle();
        assertThat(runs).containsExactly("bob/1");
        assertThat(bus.committedOffset(GROUP, TOPIC, 0)).isEmpty();

        bus.start(plain());
        bus.runUntilIdle();
        assertThat(runs).containsExactly("bob/1", "bob/1");
        assertThat(bus.committedOffset(GROUP, TOPIC, 0)).hasValue(1);
    }

    @Test
    void the_other_member_of_the_group_takes_over_from_one_that_crashes() throws SQLException {
        bus.start(runner());
        bus.start(runner());
        bus.runUntilIdle();
        faults.crashAt(CrashPoint.AFTER_HANDLER, 2);
        for (String user : List.of("bob", "carol", "dave", "erin", "frank")) {
            bus.publish(ASSET_UPDATED, new AssetUpdated(user, 1));
        }
        bus.runUntilIdle();

        assertThat(runs).hasSize(6);
        assertThat(ledger.booked()).containsExactlyInAnyOrder("bob/1", "carol/1", "dave/1", "erin/1", "frank/1");
    }

    @Test
    void a_runner_that_has_crashed_may_be_closed_and_nothing_comes_of_it() throws SQLException {
        ConsumerRunner crashed = crash(CrashPoint.AFTER_HANDLER);
        crashed.close();

        assertThat(ledger.booked()).isEmpty();
        assertThat(bus.committedOffset(GROUP, TOPIC, 0).orElse(0)).isZero();
        goOn();
        assertThat(ledger.booked()).containsExactly("bob/1", "bob/2");
    }

    @Test
    void crashes_at_several_points_come_about_each_of_them() throws SQLException {
        faults.crashAt(CrashPoint.AFTER_HANDLER);
        crash(CrashPoint.AFTER_INBOX_INSERT);
        assertThat(runs).isEmpty();
        bus.start(runner());
        bus.runUntilIdle();
        assertThat(runs).containsExactly("bob/1");
        assertThat(ledger.booked()).isEmpty();
        goOn();
        assertThat(ledger.booked()).containsExactly("bob/1", "bob/2");
    }

    @Test
    void only_connections_of_runners_are_watched() throws SQLException {
        DataSource watched = faults.dataSource(ledger.database());
        faults.crashAt(CrashPoint.AFTER_INBOX_INSERT);
        try (Connection connection = watched.getConnection()) {
            assertThat(Proxy.isProxyClass(connection.getClass())).isFalse();
        }
        assertThatThrownBy(() -> faults.crashAt(CrashPoint.AFTER_COMMIT, 0))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("nth");
        crash(CrashPoint.AFTER_INBOX_INSERT); // one that nobody comes to fails the close of the bus
    }

    /** Publishes two events and runs until a runner has crashed. */
    private ConsumerRunner crash(CrashPoint point) {
        ConsumerRunner runner = bus.start(runner());
        faults.crashAt(point);
        bus.publish(ASSET_UPDATED, new AssetUpdated("bob", 1), new AssetUpdated("bob", 2));
        bus.runUntilIdle();
        return runner;
    }

    private void goOn() {
        bus.start(runner());
        bus.runUntilIdle();
        assertThat(bus.committedOffset(GROUP, TOPIC, 0)).hasValue(2);
    }

    private ConsumerRunner runner() {
        return ConsumerRunner.builder(bus.kafka(), GROUP)
                .inTransaction(JdbcInbox.h2(faults.dataSource(ledger.database())), ASSET_UPDATED, (event, tx) -> {
                    String name = event.key() + "/" + event.payload().amount();
                    runs.add(name);
                    ledger.book(tx.connection(), name);
                    faults.failPoint(event.key());
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .waitDuration(Duration.ofSeconds(10))
                        .build())
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
    }

    private ConsumerRunner plain() {
        return ConsumerRunner.builder(bus.kafka(), GROUP)
                .on(
                        ASSET_UPDATED,
                        (event, delivery) ->
                                runs.add(event.key() + "/" + event.payload().amount()))
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
    }
}
