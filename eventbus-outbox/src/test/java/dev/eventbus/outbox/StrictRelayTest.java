package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.HOUSING_UPDATED;
import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.StartRefusedException;
import dev.eventbus.outbox.sql.Shards;
import dev.eventbus.topics.TopicSpec;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** The relay's rounds in mode STRICT: a batch is in the log as a whole or not at all. */
class StrictRelayTest {

    /** Shares bob's shard. */
    private static final String NEIGHBOUR = user(Shards.of("bob"));

    /** Has another shard. */
    private static final String STRANGER = user((Shards.of("bob") + 1) % Shards.COUNT);

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final FakeTransactions transactions = kafka.transactions;
    private final RelayPass pass = new RelayPass(
            database.outbox,
            database.dataSource,
            kafka,
            new OutboxRelay.Settings(
                    "one",
                    Duration.ofSeconds(10),
                    SendMode.STRICT,
                    OutboxRelay.DEFAULT_MAX_RELAY_STOP,
                    new RelayListener() {}),
            OutboxRelay.Signals.NONE);

    private static String user(int shard) {
        return IntStream.range(0, 1_000)
                .mapToObj(i -> "user-" + i)
                .filter(user -> Shards.of(user) == shard)
                .findFirst()
                .orElseThrow();
    }

    @AfterEach
    void close() {
        pass.end(Duration.ofMillis(20));
    }

    private void runUntilSent(String... ids) {
        Eventually.isTrue(() -> {
            pass.look();
            return kafka.ids().containsAll(List.of(ids));
        });
    }

    /** Makes the relay own every shard and its producers ready. */
    private void warmUp() {
        pass.runToEnd();
        assertThat(transactions.producers).hasSize(Shards.COUNT);
    }

    @Test
    void each_shard_has_an_id_of_its_own_that_no_other_outbox_has() {
        warmUp();
        String outbox = database.strings("SELECT \"value\" FROM \"eventbus_meta\" WHERE name = 'outbox_id'")
                .get(0);
        assertThat(transactions.producers.stream().map(producer -> producer.id))
                .containsExactlyInAnyOrderElementsOf(IntStream.range(0, Shards.COUNT)
                        .mapToObj(shard -> "eventbus-%s-kafka-events-%d".formatted(outbox, shard))
                        .toList());
        assertThat(transactions.producers.get(0).settings)
                .containsEntry("acks", "all")
                .containsEntry("transaction.timeout.ms", 10_000)
                .containsEntry("buffer.memory", 4L * 1024 * 1024);
    }

    @Test
    void a_batch_is_one_transaction_and_its_rows_go_when_it_is_committed() {
        warmUp();
        database.publish(event("evt-1", "bob"), event("evt-2", NEIGHBOUR), event("evt-3", "bob"));
        runUntilSent("evt-1", "evt-2", "evt-3");
        assertThat(transactions.committed).hasSize(1);
        assertThat(kafka.idsOf("bob")).containsExactly("evt-1", "evt-3");
        Eventually.isTrue(() -> {
            pass.look();
            return database.ids().isEmpty();
        });
    }

    @Test
    void a_pass_of_ones_own_waits_for_the_producers_and_the_commit() {
        database.publish(event("evt-1", "bob"), event("evt-2", STRANGER));
        assertThat(pass.runToEnd()).isEqualTo(2);
        assertThat(database.ids()).isEmpty();
    }

    @Test
    void a_record_that_fails_once_undoes_its_batch_which_is_sent_again_in_order() {
        warmUp();
        AtomicInteger failures = new AtomicInteger();
        kafka.refusal = id -> id.equals("evt-2") && failures.getAndIncrement() == 0
                ? new RecordTooLargeException("too large, this time")
                : null;
        database.publish(
                event("evt-1", "bob"), event("evt-2", "bob"), event("evt-3", "bob"), event("evt-4", NEIGHBOUR));
        runUntilSent("evt-1", "evt-2", "evt-3", "evt-4");
        assertThat(kafka.idsOf("bob")).containsExactly("evt-1", "evt-2", "evt-3");
        assertThat(transactions.committed).contains(List.of("evt-2"));
        assertThat(transactions.producers)
                .as("an undone batch costs no producer")
                .hasSize(Shards.COUNT);
    }

    @Test
    void a_record_that_is_refused_for_good_is_tried_alone_and_blocks_its_key() {
        warmUp();
        kafka.refusal = id -> id.equals("poison") ? new RecordTooLargeException("too large") : null;
        database.publish(
                event("evt-1", NEIGHBOUR), event("poison", "bob"), event("evt-2", "bob"), event("evt-3", NEIGHBOUR));
        runUntilSent("evt-1", "evt-3");
        assertThat(transactions.begun).contains(List.of("poison"));
        assertThat(kafka.ids()).containsExactly("evt-1", "evt-3");
        Eventually.isTrue(() -> {
            pass.look();
            return database.ids().equals(List.of("poison", "evt-2"));
        });
        assertThat(database.strings("SELECT event_id FROM \"eventbus_blocked_key\""))
                .containsExactly("poison");
    }

    @Test
    void a_topic_that_refuses_waits_and_undoes_no_further_batch_of_others() {
        warmUp();
        kafka.refusal = id -> id.startsWith("closed") ? new TopicAuthorizationException("housing.events") : null;
        database.publish(event(HOUSING_UPDATED, "closed-1", "bob"), event("evt-1", "bob"), event("evt-2", NEIGHBOUR));
        runUntilSent("evt-1", "evt-2");
        assertThat(pass.health().waitingTopics()).containsOnlyKeys("housing.events");
        database.publish(event(HOUSING_UPDATED, "closed-2", "bob"), event("evt-3", "bob"));
        runUntilSent("evt-3");
        assertThat(pass.health().blockedKeys()).isZero();

        kafka.refusal = id -> null;
        kafka.advance(Duration.ofMinutes(1));
        runUntilSent("closed-1", "closed-2");
        assertThat(kafka.ids().indexOf("closed-1")).isLessThan(kafka.ids().indexOf("closed-2"));
    }

    @Test
    void a_relay_that_was_shut_out_looks_at_its_leases_and_blames_no_event() {
        warmUp();
        transactions.fenceAll();
        database.update("UPDATE \"eventbus_relay_lease\" SET owner = 'successor', epoch = epoch + 1");
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"));
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().ownedShards().isEmpty();
        });
        assertThat(kafka.ids()).isEmpty();
        assertThat(pass.health().waitingTopics()).isEmpty();
        assertThat(pass.health().blockedKeys()).isZero();
        assertThat(transactions.producers).as("none is opened without a lease").hasSize(Shards.COUNT);
        assertThat(transactions.producers).allMatch(producer -> producer.isShut);
    }

    @Test
    void a_relay_that_was_shut_out_and_has_its_lease_still_comes_back() {
        warmUp();
        transactions.fenceAll(); // as by the cluster, after a transaction that took longer than the lease
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"));
        Eventually.isTrue(() -> {
            pass.look();
            kafka.advance(Duration.ofMillis(1));
            return kafka.ids().containsAll(List.of("evt-1", "evt-2"));
        });
        assertThat(kafka.idsOf("bob")).containsExactly("evt-1", "evt-2");
        assertThat(transactions.producers).hasSize(Shards.COUNT + 1);
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().up();
        });
    }

    private void runUntilShutOut(int producers) {
        Eventually.isTrue(() -> {
            pass.look();
            return transactions.producers.size() == producers
                    && transactions.producers.get(producers - 1).isShut
                    && pass.health().problems().stream().anyMatch(problem -> problem.contains("was shut out"));
        });
    }

    @Test
    void a_relay_that_is_shut_out_again_and_again_by_one_without_a_lease_says_so_and_tries_less_and_less_often() {
        warmUp();
        transactions.atCommit = id -> transactions.fenceAll();
        database.publish(event("evt-1", "bob"));
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().problems().stream().anyMatch(problem -> problem.contains("was shut out"));
        });
        assertThat(pass.health().up()).isFalse();
        assertThat(pass.health().problems()).as("it may end by itself").noneMatch(problem -> problem.contains("copy"));
        for (int i = 0; i < 20; i++) {
            pass.look();
        }
        assertThat(transactions.producers).as("time stands still").hasSize(Shards.COUNT);
        kafka.advance(Duration.ofMillis(150));
        runUntilShutOut(Shards.COUNT + 1);
        pass.look();
        assertThat(pass.health().problems()).singleElement().asString().contains("Stop the copy's relays");
        kafka.advance(Duration.ofMillis(150));
        for (int i = 0; i < 20; i++) {
            pass.look();
        }
        assertThat(transactions.producers).as("200 ms now").hasSize(Shards.COUNT + 1);

        transactions.atCommit = id -> {};
        kafka.advance(Duration.ofMillis(100));
        runUntilSent("evt-1");
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().up();
        });
        assertThat(pass.health().problems()).isEmpty();
    }

    @Test
    void what_failed_before_the_producer_was_shut_out_is_blamed_all_the_same() {
        warmUp();
        kafka.refusal = id -> {
            transactions.fenceAll(); // as by the cluster, once a transaction has taken too long
            return new TopicAuthorizationException("asset.events");
        };
        database.publish(event("evt-1", "bob"));
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().waitingTopics().containsKey("asset.events");
        });
        kafka.refusal = id -> null;
        Eventually.isTrue(() -> {
            kafka.advance(Duration.ofSeconds(1));
            pass.look();
            return kafka.ids().contains("evt-1");
        });
    }

    @Test
    void batches_that_are_not_through_in_time_become_smaller_until_they_are() {
        warmUp();
        transactions.mostInTime = 20;
        List<String> ids = IntStream.range(0, 300).mapToObj(i -> "evt-" + i).toList();
        ids.forEach(id -> database.publish(event(id, "bob")));
        Eventually.isTrue(() -> {
            kafka.advance(Duration.ofMillis(100));
            pass.look();
            return kafka.ids().contains("evt-299");
        });
        assertThat(kafka.idsOf("bob")).containsExactlyElementsOf(ids);
        assertThat(transactions.committed.stream().filter(batch -> batch.size() > 1))
                .as("more than single trials came through")
                .hasSizeGreaterThan(10);
    }

    @Test
    void a_commit_without_an_answer_is_asked_for_again() {
        warmUp();
        transactions.faultsComeAfterTheCommit = true;
        transactions.commitFaults.add(new TimeoutException("no answer"));
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"));
        runUntilSent("evt-1", "evt-2");
        Eventually.isTrue(() -> {
            pass.look();
            return database.ids().isEmpty();
        });
        assertThat(kafka.ids()).containsExactly("evt-1", "evt-2");
        assertThat(transactions.producers).hasSize(Shards.COUNT);
    }

    @Test
    void a_commit_that_stays_without_an_answer_is_left_to_another_producer_and_its_rows_are_sent_again() {
        warmUp();
        transactions.faultsComeAfterTheCommit = true;
        transactions.commitFaults.add(new TimeoutException("no answer"));
        transactions.commitFaults.add(new TimeoutException("no answer"));
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"));
        Eventually.isTrue(() -> {
            pass.look();
            kafka.advance(Duration.ofMillis(1));
            return database.ids().isEmpty();
        });
        assertThat(kafka.ids()).containsExactly("evt-1", "evt-2", "evt-1", "evt-2");
        assertThat(transactions.producers).hasSize(Shards.COUNT + 1);
        assertThat(pass.health().blockedKeys()).isZero();
        assertThat(pass.health().waitingTopics()).isEmpty();
    }

    @Test
    void a_shard_whose_commit_hangs_stops_no_other_and_health_tells_of_it() {
        warmUp();
        CountDownLatch hanging = new CountDownLatch(1);
        String stuck = "-" + Shards.of("bob");
        transactions.atCommit = id -> {
            if (id.endsWith(stuck)) {
                try {
                    hanging.await();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            }
        };
        database.publish(event("hangs-1", "bob"));
        pass.look();
        for (int i = 0; i < 50; i++) {
            database.publish(event("hangs-more-" + i, "bob"), event("flows-" + i, STRANGER));
            runUntilSent("flows-" + i);
        }
        assertThat(kafka.idsOf("bob")).isEmpty();
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().problems().stream().anyMatch(problem -> problem.contains("acknowledged nothing"));
        });
        hanging.countDown();
        runUntilSent("hangs-1", "hangs-more-49");
        assertThat(kafka.idsOf("bob")).hasSize(51).doesNotHaveDuplicates();
    }

    @Test
    void a_shard_without_a_coordinator_waits_alone_and_is_tried_again() {
        transactions.refusesInit = id -> id.endsWith("-" + Shards.of("bob"));
        database.publish(event("waits", "bob"), event("flows", STRANGER));
        runUntilSent("flows");
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().problems().stream()
                    .anyMatch(problem -> problem.contains("Events of shard %d wait".formatted(Shards.of("bob"))));
        });
        assertThat(pass.health().up()).isFalse();
        assertThat(pass.health().waitingTopics()).isEmpty();
        transactions.refusesInit = id -> false;
        kafka.advance(Duration.ofSeconds(10));
        runUntilSent("waits");
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().up();
        });
    }

    @Test
    void rows_of_a_hot_key_keep_their_order_over_many_batches() {
        warmUp();
        List<String> ids = IntStream.range(0, 2_000).mapToObj(i -> "evt-" + i).toList();
        ids.forEach(id -> database.publish(event(id, "bob")));
        runUntilSent("evt-1999");
        assertThat(kafka.idsOf("bob")).containsExactlyElementsOf(ids);
    }

    @Test
    void a_compacted_topic_is_refused_to_a_relay_that_could_repeat_an_event_after_its_successors() {
        JdbcOutbox outbox = JdbcOutbox.h2()
                .topics(TopicSpec.of("asset.events", 3).compactedAfter(Duration.ofDays(30)))
                .topics(TopicSpec.of("housing.events", 3));
        OutboxRelay.Builder relay = OutboxRelay.builder(outbox, database.dataSource, kafka);
        assertThatThrownBy(relay::build)
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("P2")
                .hasMessageContaining("[asset.events]")
                .hasMessageContaining("SendMode.STRICT");
        relay.sendMode(SendMode.STRICT).build().close();
    }

    @Test
    void a_topic_is_tried_in_a_shard_that_has_a_producer_though_another_comes_first() {
        transactions.refusesInit = id -> id.endsWith("-0");
        pass.runToEnd();
        kafka.refusal = id -> id.equals("first") ? new TopicAuthorizationException("asset.events") : null;
        database.publish(event("first", user(5)));
        Eventually.isTrue(() -> {
            pass.look();
            return !pass.health().waitingTopics().isEmpty();
        });
        kafka.refusal = id -> null;
        database.publish(event("waits", user(0)), event("flows", user(5)));
        kafka.advance(Duration.ofMinutes(1));
        runUntilSent("first", "flows");
        assertThat(kafka.ids()).doesNotContain("waits");
    }

    @Test
    void a_topic_whose_first_event_waits_for_a_producer_is_tried_by_one_that_comes_later_in_another_shard() {
        warmUp();
        refuseUntilItWaits("first", user(0));
        transactions.refusesInit = id -> id.endsWith("-0");
        transactions.fenceAll();
        kafka.refusal = id -> null;
        for (int i = 0; i < 20; i++) { // long enough to have looked for the topic everywhere
            kafka.advance(Duration.ofSeconds(10));
            pass.look();
        }
        database.publish(event("flows", user(5)));
        Eventually.isTrue(() -> {
            kafka.advance(Duration.ofSeconds(1));
            pass.look();
            return kafka.ids().contains("flows")
                    && pass.health().waitingTopics().isEmpty();
        });
        assertThat(kafka.ids()).doesNotContain("first");
    }

    @Test
    void a_topic_is_not_let_in_while_its_trial_waits_for_that_of_another_topic() {
        warmUp();
        refuseUntilItWaits("trial-1", "bob");
        CountDownLatch answer = new CountDownLatch(1);
        kafka.refusal = id -> {
            if (id.equals("trial-1")) {
                awaited(answer);
                return null;
            }
            return id.equals("trial-2") ? new TopicAuthorizationException("housing.events") : null;
        };
        database.publish(event(HOUSING_UPDATED, "trial-2", NEIGHBOUR));
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().waitingTopics().containsKey("housing.events");
        });
        kafka.advance(Duration.ofMinutes(1));
        for (int i = 0; i < 20; i++) {
            pass.look();
        }
        assertThat(pass.health().waitingTopics())
                .as("the one is on its way, the other waits behind it")
                .containsOnlyKeys("asset.events", "housing.events");
        answer.countDown();
        runUntilSent("trial-1");
    }

    private void refuseUntilItWaits(String id, String user) {
        kafka.refusal = sent -> sent.equals(id) ? new TopicAuthorizationException("asset.events") : null;
        database.publish(event(id, user));
        Eventually.isTrue(() -> {
            pass.look();
            return !pass.health().waitingTopics().isEmpty();
        });
    }

    @Test
    void what_waits_for_a_producer_that_is_gone_keeps_no_room() {
        warmUp();
        kafka.refusal = id -> id.equals("trial") ? new TopicAuthorizationException("housing.events") : null;
        database.publish(event(HOUSING_UPDATED, "trial", "bob"));
        Eventually.isTrue(() -> {
            pass.look();
            return !pass.health().waitingTopics().isEmpty();
        });
        CountDownLatch seen = new CountDownLatch(1);
        kafka.refusal = id -> {
            awaited(seen);
            return null;
        };
        transactions.refusesInit = id -> true;
        database.publish(event("evt-1", "bob"), event("evt-2", NEIGHBOUR));
        kafka.advance(Duration.ofMinutes(1));
        pass.look();
        assertThat(pass.health().inFlight())
                .as("the trial goes alone, the others wait")
                .isEqualTo(3);
        transactions.fenceAll();
        seen.countDown();
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().inFlight() == 0;
        });
    }

    @Test
    void an_ack_of_what_was_handed_over_before_a_failure_says_nothing_of_what_failed() {
        warmUp();
        CountDownLatch failed = new CountDownLatch(1);
        AtomicInteger tries = new AtomicInteger();
        kafka.refusal = id -> {
            if (id.equals("slow")) {
                awaited(failed);
            }
            return id.equals("bad") && tries.incrementAndGet() > 0
                    ? new TopicAuthorizationException("asset.events")
                    : null;
        };
        database.publish(event("bad", "bob"), event("slow", STRANGER));
        Eventually.isTrue(() -> {
            pass.look();
            return !pass.health().waitingTopics().isEmpty();
        });
        failed.countDown();
        runUntilSent("slow");
        Eventually.isTrue(() -> {
            pass.look();
            return !database.ids().contains("slow");
        });
        assertThat(tries).as("no time has passed").hasValue(1);
        assertThat(pass.health().waitingTopics()).isNotEmpty();
    }

    private static void awaited(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
