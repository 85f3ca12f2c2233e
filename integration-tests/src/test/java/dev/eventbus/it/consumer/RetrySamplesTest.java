package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static io.github.resilience4j.core.IntervalFunction.ofExponentialRandomBackoff;
import static java.time.Duration.ofMillis;
import static java.time.Duration.ofSeconds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.FailureKind;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.PlannedKey;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.testkit.FakeEventBus;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.Test;

/** The samples of docs/retry-and-dead-letters.md, run. */
class RetrySamplesTest {

    private final FakeEventBus bus = FakeEventBus.create();
    private final KafkaCluster kafka = bus.kafka();
    private final Cache cache = new Cache();
    private final List<String> alerts = new ArrayList<>();

    private static final class CacheIsDown extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    private static final class Cache {
        private final List<String> evicted = new ArrayList<>();
        private int timesDown;

        void evict(String key) {
            if (timesDown-- > 0) {
                throw new CacheIsDown();
            }
            if (key.equals("mallory")) {
                throw new IllegalArgumentException("not a user");
            }
            if (key.equals("bob")) {
                throw new IllegalStateException("no luck");
            }
            evicted.add(key);
        }
    }

    @Test
    void a_policy_says_how_often_when_and_whose_fault_it_is() {
        // region: policy
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "calculator.asset.events")
                .on(ASSET_UPDATED, (event, delivery) -> cache.evict(event.key()))
                .retry(RetryConfig.custom()
                        .maxAttempts(4)
                        .intervalFunction(ofExponentialRandomBackoff(ofMillis(200), 2.0, 0.5, ofSeconds(10)))
                        .ignoreExceptions(IllegalArgumentException.class)
                        .build())
                .classify(e -> e instanceof CacheIsDown ? FailureKind.OUTAGE : FailureKind.RETRY)
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
        // end: policy
        cache.timesDown = 20;
        bus.start(runner);
        bus.publish(
                ASSET_UPDATED,
                AssetUpdated.amount("alice", 1),
                AssetUpdated.amount("bob", 1),
                AssetUpdated.amount("mallory", 1));
        bus.runUntilIdle();
        assertThat(cache.evicted).containsExactly("alice");
        assertThat(bus.deadLetters())
                .extracting(letter -> letter.keyText() + " " + reason(letter))
                .containsExactlyInAnyOrder("mallory NOT_RETRYABLE 1", "bob ATTEMPTS_EXHAUSTED 4");
    }

    @Test
    void dead_letters_are_watched_by_a_group_of_their_own() {
        // region: monitoring
        ConsumerRunner monitoring = ConsumerRunner.builder(kafka, "monitoring.dlq.events")
                .onDeadLetters("dlq.events", (letter, delivery) -> {
                    Origin origin = letter.origin(); // null if somebody else has written the record
                    alerts.add(
                            origin == null ? "a record of unknown origin" : origin.reason() + " in " + origin.group());
                })
                .build();
        // end: monitoring
        bus.start(monitoring);
        bus.start(ConsumerRunner.builder(kafka, "calculator.asset.events")
                .on(ASSET_UPDATED, (event, delivery) -> cache.evict(event.key()))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build());
        bus.publish(ASSET_UPDATED, AssetUpdated.amount("bob", 1));
        bus.publishRaw("dlq.events", "bob", "by hand");
        bus.runUntilIdle();
        assertThat(alerts)
                .containsExactly("a record of unknown origin", "ATTEMPTS_EXHAUSTED in calculator.asset.events");
    }

    @Test
    void a_parked_key_waits_until_a_person_says_how_to_go_on() throws SQLException {
        JdbcDataSource database = new JdbcDataSource();
        database.setURL("jdbc:h2:mem:parking;DB_CLOSE_DELAY=-1");
        JdbcInbox inbox = JdbcInbox.h2(database);
        inbox.createTables();
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE balance (owner varchar(40) PRIMARY KEY, amount bigint)");
        }
        // region: parking
        ConsumerRunner ledger = ConsumerRunner.builder(kafka, "ledger.asset.events")
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> setBalance(tx.connection(), event))
                .afterRetries(AfterRetries.parkKey(inbox, "dlq.events"))
                .build();
        // end: parking
        bus.start(ledger);
        cache.timesDown = 4;
        bus.publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1), AssetUpdated.amount("alice", 2));
        bus.runUntilIdle();
        assertThat(cache.evicted).isEmpty();
        bus.publish(ASSET_UPDATED, AssetUpdated.amount("carol", 1));
        bus.runUntilIdle();
        assertThat(cache.evicted).containsExactly("carol");
        // region: redrive
        for (ParkedKey key : inbox.parking().load("ledger.asset.events")) {
            if (key.state() == ParkedKey.State.PARKED) { // one that is WAITING is tried again by itself
                inbox.parking().redrive("ledger.asset.events", key);
            }
        }
        // end: redrive
        bus.runUntilIdle();
        assertThat(cache.evicted).containsExactly("carol", "alice", "alice");
    }

    /** What a later event of the user replaces: wrong, if it is set in another order. */
    private void setBalance(Connection tx, Event<AssetUpdated> event) throws SQLException {
        cache.evict(event.key()); // fails for as long as the test wants
        try (PreparedStatement set = tx.prepareStatement("MERGE INTO balance KEY (owner) VALUES (?, ?)")) {
            set.setString(1, event.key());
            set.setLong(2, Objects.requireNonNull(event.payload().newAmount()));
            set.executeUpdate();
        }
    }

    @Test
    void dead_letters_are_planned_and_redriven() throws SQLException {
        JdbcDataSource database = new JdbcDataSource();
        database.setURL("jdbc:h2:mem:redrive;DB_CLOSE_DELAY=-1");
        JdbcInbox inbox = JdbcInbox.h2(database);
        inbox.createTables();
        bus.start(ConsumerRunner.builder(kafka, "ledger.asset.events")
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> cache.evict(event.key()))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build());
        cache.timesDown = 4;
        bus.publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1), AssetUpdated.amount("alice", 2));
        bus.runUntilIdle();
        List<String> log = new ArrayList<>();
        // region: plan
        RedrivePlan plan = Redrive.of(kafka, "ledger.asset.events", "dlq.events", inbox)
                .reason(FailureReason.ATTEMPTS_EXHAUSTED)
                .plan();
        for (PlannedKey key : plan.keys()) {
            if (key.laterHandled() > 0 || !key.exact()) { // the old event would be applied after newer ones
                log.add("%s: %d later events are handled".formatted(key.keyHash(), key.laterHandled()));
            }
        }
        // end: plan
        assertThat(log).singleElement().asString().endsWith(": 1 later events are handled");
        // region: run
        RedriveResult result = plan.run("the cache was down, ticket 4711");
        log.add("%d handed over, %s left alone".formatted(result.handedOver(), result.leftAlone()));
        // end: run
        bus.runUntilIdle();
        assertThat(result.handedOver()).isEqualTo(1);
        assertThat(cache.evicted).containsExactly("alice", "alice");
    }

    private static String reason(DeadLetter letter) {
        Origin origin = letter.origin();
        return origin == null ? "unknown" : origin.reason() + " " + origin.attempts();
    }
}
