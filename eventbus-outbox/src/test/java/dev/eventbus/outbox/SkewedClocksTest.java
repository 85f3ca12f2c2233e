package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.outbox.sql.Shards;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Two relays of one outbox, of which one has a clock that is an hour fast or slow. Who owns what is between the database and them. */
@Execution(ExecutionMode.CONCURRENT)
class SkewedClocksTest {

    private static final Duration LEASE = Duration.ofSeconds(6);

    private final TestDatabase database = new TestDatabase();
    private final AtomicInteger deletedByOthers = new AtomicInteger();
    private final FakeKafka right = new FakeKafka();
    private final FakeKafka wrong = new FakeKafka();
    private final RelayPass punctual = pass("punctual", right);
    private final RelayPass skewed = pass("skewed", wrong);

    private RelayPass pass(String owner, FakeKafka kafka) {
        RelayListener listener = new RelayListener() {
            @Override
            public void deletedByOthers(int rows) {
                deletedByOthers.addAndGet(rows);
            }
        };
        return new RelayPass(
                database.outbox,
                database.dataSource,
                kafka,
                new OutboxRelay.Settings(
                        owner, LEASE, SendMode.PIPELINED, OutboxRelay.DEFAULT_MAX_RELAY_STOP, listener),
                OutboxRelay.Signals.NONE);
    }

    private void setClocks(Duration skew) {
        right.now = Instant.parse(database.strings("SELECT CURRENT_TIMESTAMP AT TIME ZONE 'UTC'")
                .get(0)
                .replace(' ', 'T')
                .replace("+00", "Z"));
        wrong.now = right.now.plus(skew);
    }

    @AfterEach
    void close() {
        punctual.end(Duration.ofMillis(20));
        skewed.end(Duration.ofMillis(20));
    }

    private void shareEvenly() {
        Eventually.isTrue(() -> {
            punctual.look();
            skewed.look();
            return punctual.health().ownedShards().size() == 8
                    && skewed.health().ownedShards().size() == 8;
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"PT1H", "PT-1H"})
    void a_shard_has_one_owner_and_no_event_is_sent_twice(Duration skew) {
        setClocks(skew);
        shareEvenly();
        List<String> published = new ArrayList<>();
        long end = System.nanoTime() + LEASE.multipliedBy(3).dividedBy(2).toNanos();
        while (System.nanoTime() < end) {
            String id = "evt-" + published.size();
            database.publish(event(id, "user-" + published.size() % 100));
            published.add(id);
            punctual.look();
            skewed.look();
            assertThat(punctual.health().ownedShards())
                    .doesNotContainAnyElementsOf(skewed.health().ownedShards());
        }
        Eventually.isTrue(() -> {
            punctual.look();
            skewed.look();
            return database.ids().isEmpty();
        });
        List<String> sent = new ArrayList<>(right.ids());
        sent.addAll(wrong.ids());
        assertThat(sent).containsExactlyInAnyOrderElementsOf(published);
        assertThat(right.ids()).isNotEmpty();
        assertThat(wrong.ids()).isNotEmpty();
        assertThat(deletedByOthers).hasValue(0);
    }

    @ParameterizedTest
    @ValueSource(strings = {"PT1H", "PT-1H"})
    void a_relay_that_is_gone_is_succeeded_when_its_lease_has_run_out_neither_an_hour_early_nor_late(Duration skew) {
        setClocks(skew);
        shareEvenly();
        punctual.look();
        long gone = System.nanoTime();
        Eventually.isTrue(() -> {
            skewed.look();
            return skewed.health().ownedShards().size() == Shards.COUNT;
        });
        assertThat(Duration.ofNanos(System.nanoTime() - gone))
                .as("it renews three times a lease")
                .isGreaterThan(LEASE.dividedBy(2));
    }
}
