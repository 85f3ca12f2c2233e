package dev.eventbus.it.inbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.consumer.redrive.Standing;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.testkit.FakeEventBus;
import io.github.resilience4j.retry.RetryConfig;
import java.io.IOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.function.LongConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What a redrive writes, on a real database. */
public abstract class RedriveContract extends InboxDatabase {

    private final FakeEventBus bus = FakeEventBus.create();
    private final Set<Long> poison = new HashSet<>();
    private final List<String> order = new ArrayList<>();
    private LongConsumer inHandler = n -> {};

    @AfterEach
    void closeBus() {
        bus.close();
    }

    @Test
    void a_letter_is_handled_once_in_the_transaction_that_settles_its_mark_and_the_run_is_noted() throws SQLException {
        runner(AfterRetries.deadLetter("dlq"));
        poison.add(1L);
        publish(1, 2);
        RedrivePlan stale = redrive().plan();
        poison.clear();
        assertThat(redrive().requestedBy("ann").plan().run("mended").handedOver())
                .isEqualTo(1);
        assertThat(stale.run("at once").leftAlone(Standing.UNDER_WAY)).isEqualTo(1);
        bus.runUntilIdle();
        assertThat(handledInOrder()).containsExactly("2", "1");
        assertThat(stale.run("late").leftAlone(Standing.ALREADY_APPLIED)).isEqualTo(1);
        assertThat(strings("SELECT state FROM eventbus_redrive WHERE requested_by = 'ann' AND done = 0"))
                .containsExactly("HANDED_OVER");
        assertThat(inbox().parking().load(GROUP)).isEmpty();
    }

    @Test
    void a_letter_that_fails_again_is_dead_again_and_goes_round_no_more_than_may_be() throws SQLException {
        runner(AfterRetries.deadLetter("dlq"));
        poison.add(1L);
        publish(1);
        for (int round = 0; round < 3; round++) {
            assertThat(redrive().plan().run("again").handedOver()).isEqualTo(1);
            bus.runUntilIdle();
        }
        assertThat(redrive().plan().standings()).containsOnlyKeys(Standing.TOO_OFTEN);
        assertThat(strings("SELECT outcome FROM eventbus_inbox")).containsExactly("DEAD");
        assertThat(inbox().parking().load(GROUP)).isEmpty();
    }

    @Test
    void letters_take_their_places_before_what_stood_behind_them() throws SQLException {
        ConsumerRunner first = runner(AfterRetries.deadLetter("dlq"));
        poison.addAll(List.of(1L, 2L));
        publish(1, 2);
        first.close();
        runner(AfterRetries.parkKey(inbox(), "dlq"));
        poison.add(3L);
        publish(3, 4, 5);
        poison.clear();
        RedriveResult result = redrive().plan().run("mended");
        assertThat(result.handedOver()).isEqualTo(5);
        bus.runUntilIdle();
        assertThat(handledInOrder()).containsExactly("1", "2", "3", "4", "5");
    }

    @Test
    void what_is_discarded_is_skipped() throws SQLException {
        runner(AfterRetries.deadLetter("dlq"));
        poison.add(1L);
        publish(1);
        assertThat(redrive().plan().discard("test data").discarded()).isEqualTo(1);
        assertThat(strings("SELECT outcome FROM eventbus_inbox")).containsExactly("SKIPPED");
        assertThat(redrive().plan().standings()).containsOnlyKeys(Standing.DISCARDED);
    }

    @Test
    void a_key_that_is_being_redriven_is_discarded_only_between_its_events() throws SQLException {
        runner(AfterRetries.parkKey(inbox(), "dlq"));
        poison.add(1L);
        publish(1, 2, 3);
        poison.clear();
        assertThat(redrive().plan().run("mended").handedOver()).isEqualTo(3);
        assertThat(redrive().plan().discardable()).isZero();
        RedrivePlan plan = redrive().key("alice").plan();
        assertThat(plan.discardable()).isEqualTo(3);
        List<RedriveResult> during = new ArrayList<>();
        inHandler = n -> {
            if (n == 1) {
                during.add(plan.discard("while its handler runs"));
            }
        };
        bus.advance(Duration.ofMillis(1)); // the first ones of the key, 16 at most
        assertThat(during).singleElement().satisfies(result -> {
            assertThat(result.discarded()).isZero();
            assertThat(result.leftAlone(Standing.HELD)).isEqualTo(3);
        });
        assertThat(handledInOrder()).startsWith("1");
        long applied = handledInOrder().size();
        assertThat(redrive().key("alice").plan().discard("the rest").discarded())
                .isEqualTo(3 - applied);
        bus.runUntilIdle();
        assertThat(handledInOrder()).hasSize((int) applied);
        assertThat(inbox().parking().load(GROUP)).isEmpty();
    }

    @Test
    void what_is_left_of_a_redriven_key_can_be_discarded_and_nothing_of_it_runs() throws SQLException {
        runner(AfterRetries.parkKey(inbox(), "dlq"));
        poison.add(1L);
        publish(1, 2, 3);
        poison.clear();
        redrive().plan().run("mended");
        assertThat(redrive().key("alice").plan().discard("not mended").discarded())
                .isEqualTo(3);
        publish(4);
        assertThat(handledInOrder()).containsExactly("4");
        assertThat(strings("SELECT outcome FROM eventbus_inbox WHERE outcome = 'SKIPPED'"))
                .hasSize(3);
    }

    @Test
    void an_export_has_letters_and_parked_events_whole() throws SQLException, IOException {
        ConsumerRunner first = runner(AfterRetries.deadLetter("dlq"));
        poison.add(1L);
        publish(1);
        first.close();
        runner(AfterRetries.parkKey(inbox(), "dlq"));
        poison.add(2L);
        publish(2, 3);
        StringBuilder lines = new StringBuilder();
        assertThat(redrive().plan().export(lines)).isEqualTo(2 + 2);
        assertThat(lines.toString().lines().filter(line -> line.contains("\"kind\":\"parked\"")))
                .hasSize(2)
                .allSatisfy(line -> assertThat(line).contains("newAmount"));
    }

    @Test
    void a_letter_whose_key_no_index_takes_is_refused_with_the_database_s_word_and_others_go_on() throws SQLException {
        runner(AfterRetries.deadLetter("dlq"));
        byte[] key = new byte[6_000];
        new Random(1).nextBytes(key);
        bus.publishRaw(new ProducerRecord<>("asset.events", key, new byte[] {1}));
        poison.add(1L);
        publish(1);
        poison.clear();
        RedriveResult result = redrive().plan().run("mended");
        assertThat(result.handedOver()).isEqualTo(1);
        assertThat(result.leftAlone()).isEqualTo(Map.of(Standing.REFUSED, 1L));
        assertThat(result.refused())
                .singleElement()
                .satisfies(text -> assertThat(text).contains("MALFORMED_JSON", "SQLSTATE"));
        bus.runUntilIdle();
        assertThat(handledInOrder()).containsExactly("1");
        assertThat(redrive().plan().discard("no event").discarded()).isEqualTo(1);
        assertThat(redrive().plan().standings())
                .isEqualTo(Map.of(Standing.ALREADY_APPLIED, 1L, Standing.DISCARDED, 1L));
    }

    private Redrive redrive() {
        return Redrive.of(bus.kafka(), GROUP, "dlq", inbox());
    }

    private ConsumerRunner runner(AfterRetries after) {
        return bus.start(ConsumerRunner.builder(bus.kafka(), GROUP)
                .inTransaction(inbox(), ASSET_UPDATED, (event, tx) -> {
                    long n = Objects.requireNonNull(event.payload().newAmount());
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO effect (id, amount) VALUES (?, ?)")) {
                        insert.setString(1, bus.now().toString());
                        insert.setLong(2, n);
                        insert.executeUpdate();
                    }
                    inHandler.accept(n);
                    if (poison.contains(n)) {
                        throw new IllegalStateException("no luck");
                    }
                    order.add(Long.toString(n));
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(after)
                .build());
    }

    /** In the order in which they came; the table says that each is there once. */
    private List<String> handledInOrder() throws SQLException {
        assertThat(strings("SELECT amount FROM effect")).containsExactlyInAnyOrderElementsOf(order);
        return order;
    }

    private void publish(long... amounts) {
        for (long amount : amounts) {
            bus.publish(ASSET_UPDATED, AssetUpdated.amount("alice", amount));
        }
        bus.runUntilIdle();
    }

    private List<String> strings(String sql) throws SQLException {
        try (Connection connection = dataSource().getConnection();
                PreparedStatement statement = connection.prepareStatement(sql);
                ResultSet row = statement.executeQuery()) {
            List<String> values = new ArrayList<>();
            while (row.next()) {
                values.add(row.getString(1));
            }
            return values;
        }
    }
}
