package dev.eventbus.examples.quickstart;

import static dev.eventbus.examples.quickstart.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.examples.quickstart.Events.AssetUpdated;
import dev.eventbus.testkit.FakeEventBus;
import java.util.ArrayList;
import org.h2.jdbcx.JdbcConnectionPool;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The Calculator's own runner, as in production, on a bus in memory. */
class CalculatorTest {

    private final JdbcConnectionPool database =
            JdbcConnectionPool.create("jdbc:h2:mem:calculator;DB_CLOSE_DELAY=-1", "", "");
    private final JdbcInbox inbox = JdbcInbox.h2(database);

    @BeforeEach
    void createTables() throws Exception {
        inbox.createTables();
    }

    @AfterEach
    void close() throws Exception {
        try (var connection = database.getConnection();
                var statement = connection.createStatement()) {
            statement.execute("SHUTDOWN");
        }
    }

    // region: test
    @Test
    void a_user_whose_results_cannot_be_dropped_is_dead_lettered_and_others_go_on() {
        var dropped = new ArrayList<String>();
        try (var bus = FakeEventBus.create()) {
            bus.start(Calculator.runner(
                    bus.kafka(),
                    inbox,
                    ASSET_UPDATED,
                    (tx, event, attempt) -> {
                        if (event.key().equals("bob")) throw new IllegalStateException();
                        dropped.add(event.key());
                    },
                    RunnerListener.NONE));
            bus.publish(ASSET_UPDATED, updated("bob"), updated("alice"));
            bus.runUntilIdle();
            assertThat(dropped).containsExactly("alice");
            assertThat(bus.deadLetters()).extracting(DeadLetter::keyText).containsExactly("bob");
        }
    }
    // end: test

    private static AssetUpdated updated(String user) {
        return new AssetUpdated(user, "ITEM_ADDED", "ASSET", 1L);
    }
}
