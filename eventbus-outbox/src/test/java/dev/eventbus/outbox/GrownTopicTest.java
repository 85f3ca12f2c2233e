package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.HOUSING_UPDATED;
import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.EventRecords;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** What a relay does while somebody adopts the new partitions of a topic. */
@Execution(ExecutionMode.CONCURRENT)
class GrownTopicTest {

    private static final String RECORD = "partitions.kafka-events.asset.events";

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();

    /** So short that the leases are renewed soon, and so long that a busy machine does not lose them. */
    private final RelayPass pass = pass("one", Duration.ofSeconds(5));

    private RelayPass pass(String owner, Duration lease) {
        return new RelayPass(
                database.outbox,
                database.dataSource,
                kafka,
                new OutboxRelay.Settings(
                        owner, lease, SendMode.PIPELINED, OutboxRelay.DEFAULT_MAX_RELAY_STOP, new RelayListener() {}),
                OutboxRelay.Signals.NONE);
    }

    @AfterEach
    void close() {
        pass.end(Duration.ofMillis(20));
    }

    private void record(String value) {
        database.update("UPDATE \"eventbus_meta\" SET \"value\" = '%s' WHERE name = '%s'".formatted(value, RECORD));
    }

    private List<String> settled() {
        return database.strings("SELECT name FROM \"eventbus_meta\" WHERE name LIKE 'adopting.%'");
    }

    private List<String> leases() {
        return database.strings("SELECT DISTINCT lease_until FROM \"eventbus_relay_lease\"");
    }

    private void runUntilWaits() {
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().problems().stream().anyMatch(problem -> problem.contains("from 3 to 6 partitions"));
        });
    }

    private void runUntilSent(String id) {
        Eventually.isTrue(() -> {
            pass.look();
            kafka.advance(Duration.ofMillis(20));
            return kafka.ids().contains(id);
        });
    }

    private int partitionOf(String id) {
        return kafka.log.stream()
                .filter(message -> FakeKafka.id(message).equals(id))
                .findFirst()
                .orElseThrow()
                .partition();
    }

    @Test
    void a_marked_topic_is_stopped_and_others_flow() {
        database.publish(event("evt-1", "bob"));
        runUntilSent("evt-1");
        kafka.partitions.put("asset.events", 6);
        record("3>6 token");
        runUntilWaits();
        database.publish(event("evt-2", "bob"), event(HOUSING_UPDATED, "other", "bob"));
        runUntilSent("other");
        assertThat(kafka.ids()).doesNotContain("evt-2");
        assertThat(settled()).containsExactly("adopting.token.one");
        assertThat(pass.health().waitingTopics()).containsOnlyKeys("asset.events");
    }

    @Test
    void a_relay_says_that_it_has_settled_only_when_nothing_is_on_its_way() {
        database.publish(event("evt-1", "bob"));
        runUntilSent("evt-1");
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("evt-2", "bob"), event("evt-3", "bob"));
        pass.look();
        kafka.partitions.put("asset.events", 6);
        record("3>6 token");
        runUntilWaits();
        assertThat(settled()).isEmpty();
        kafka.producer().ackAll();
        Eventually.isTrue(() -> {
            pass.look();
            return !settled().isEmpty();
        });
        assertThat(database.ids()).as("and deleted").isEmpty();
    }

    @Test
    void a_topic_goes_on_with_the_new_count_once_it_is_recorded() {
        database.publish(event("evt-1", "bob"));
        runUntilSent("evt-1");
        kafka.partitions.put("asset.events", 6);
        record("3>6 token");
        runUntilWaits();
        database.publish(event("evt-2", "bob"), event("evt-3", "bob"));
        record("6");
        runUntilSent("evt-3");
        assertThat(partitionOf("evt-1")).isEqualTo(EventRecords.partition("bob", 3));
        assertThat(partitionOf("evt-2")).isEqualTo(EventRecords.partition("bob", 6));
        assertThat(kafka.idsOf("bob")).containsExactly("evt-1", "evt-2", "evt-3");
        pass.look();
        assertThat(pass.health().problems()).isEmpty();
    }

    @Test
    void a_topic_whose_adoption_was_given_up_is_not_said_to_be_adopted() {
        database.publish(event("evt-1", "bob"));
        runUntilSent("evt-1");
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("evt-2", "bob"));
        pass.look();
        kafka.partitions.put("asset.events", 6);
        record("3>6 token");
        runUntilWaits();
        record("3");
        for (int renewals = 0; renewals < 2; renewals++) { // with each, records are read again
            List<String> before = leases();
            Eventually.isTrue(() -> {
                pass.look();
                return !leases().equals(before);
            });
        }
        assertThat(pass.health().problems()).noneMatch(problem -> problem.contains("from 3 to 3"));
        database.publish(event("evt-3", "carol"));
        kafka.answer = FakeKafka.Answer.ACK;
        kafka.producer().ackAll();
        runUntilSent("evt-3");
        assertThat(pass.health().problems()).noneMatch(problem -> problem.contains("is going from"));
    }

    @Test
    void a_topic_that_was_made_anew_with_fewer_partitions_says_so_and_waits() {
        database.publish(event("evt-1", "bob"));
        runUntilSent("evt-1");
        kafka.partitions.put("asset.events", 2);
        database.publish(event("evt-2", "bob"));
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().problems().stream()
                    .anyMatch(problem -> problem.contains("2 partitions, but 3 are recorded")
                            && problem.contains("give it 3 again"));
        });
        assertThat(database.ids()).containsExactly("evt-2");
        kafka.partitions.put("asset.events", 3);
        kafka.advance(Duration.ofMinutes(1));
        runUntilSent("evt-2");
    }

    @Test
    void a_topic_goes_on_with_the_old_count_if_the_adoption_was_given_up() {
        database.publish(event("evt-1", "bob"));
        runUntilSent("evt-1");
        kafka.partitions.put("asset.events", 6);
        record("3>6 token");
        runUntilWaits();
        record("3");
        database.publish(event("evt-2", "bob"));
        runUntilSent("evt-2");
        assertThat(partitionOf("evt-2")).isEqualTo(EventRecords.partition("bob", 3));
    }

    @Test
    void a_relay_that_starts_in_the_middle_finds_the_mark() {
        kafka.partitions.put("asset.events", 6);
        database.update("INSERT INTO \"eventbus_meta\" (name, \"value\") VALUES ('%s', '3>6 token')".formatted(RECORD));
        database.publish(event("evt-1", "bob"));
        runUntilWaits();
        assertThat(kafka.ids()).isEmpty();
        assertThat(settled()).containsExactly("adopting.token.one");
    }

    @Test
    void a_relay_whose_client_does_not_know_the_new_partitions_goes_on_and_says_nothing() {
        database.publish(event("evt-1", "bob"));
        runUntilSent("evt-1");
        record("3>6 token");
        List<String> leases = leases();
        Eventually.isTrue(() -> {
            pass.look();
            return !leases().equals(leases);
        });
        database.publish(event("evt-2", "bob"));
        runUntilSent("evt-2");
        assertThat(settled()).isEmpty();
        kafka.partitions.put("asset.events", 6);
        runUntilWaits();
        Eventually.isTrue(() -> {
            pass.look();
            return !settled().isEmpty();
        });
    }

    /** Its client had learnt of three partitions, and does not ask again for long. */
    @Test
    void a_relay_whose_leases_ran_out_takes_the_mark_although_its_client_did_not_know_the_new_partitions() {
        Duration lease = Duration.ofSeconds(3);
        RelayPass slept = pass("slept", lease);
        database.publish(event("evt-1", "bob"));
        slept.runToEnd();
        assertThat(database.ids()).isEmpty();
        long begun = System.nanoTime();
        Eventually.isTrue(() -> System.nanoTime() - begun > lease.toNanos());
        record("3>6 token");
        database.publish(event("evt-2", "bob"));
        slept.runToEnd();
        slept.end(Duration.ofMillis(20));
        assertThat(kafka.ids()).containsExactly("evt-1");
        assertThat(settled()).containsExactly("adopting.token.slept");
    }

    @Test
    void a_relay_that_has_lost_shards_takes_the_mark_too() {
        database.publish(event("evt-1", "bob"));
        runUntilSent("evt-1");
        record("3>6 token");
        database.update("UPDATE \"eventbus_relay_lease\" SET epoch = epoch + 1");
        List<String> leases = leases();
        Eventually.isTrue(() -> {
            pass.look();
            return !leases().equals(leases);
        });
        database.publish(event("evt-2", "bob"));
        pass.runToEnd();
        assertThat(kafka.ids()).containsExactly("evt-1");
        assertThat(settled()).containsExactly("adopting.token.one");
    }

    /** As one relay too many: what it could try, somebody else sends. */
    @Test
    void a_relay_that_owns_no_shard_lets_the_topic_in_once_the_adoption_has_ended() {
        pass.look();
        database.update(
                "UPDATE \"eventbus_relay_member\" SET owner = 'another', lease_until = TIMESTAMPADD(HOUR, 1, lease_until)");
        database.update(
                "UPDATE \"eventbus_relay_lease\" SET owner = 'another', epoch = epoch + 1, lease_until = TIMESTAMPADD(HOUR, 1, lease_until)");
        database.update("INSERT INTO \"eventbus_meta\" (name, \"value\") VALUES ('%s', '3>6 token')".formatted(RECORD));
        runUntilWaits();
        assertThat(pass.health().ownedShards()).isEmpty();
        assertThat(pass.health().waitingTopics()).containsOnlyKeys("asset.events");
        record("6");
        long begun = System.nanoTime();
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().up()
                    || System.nanoTime() - begun > Duration.ofSeconds(4).toNanos();
        });
        assertThat(pass.health().waitingTopics()).isEmpty();
        assertThat(pass.health().problems()).isEmpty();
        assertThat(pass.health().up()).isTrue();
    }

    @Test
    void a_record_that_nobody_can_read_stops_no_topic_whose_count_is_known_and_is_named() throws SQLException {
        database.publish(event("evt-1", "bob"));
        runUntilSent("evt-1");
        record("3>6");
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().problems().stream().anyMatch(problem -> problem.contains(RECORD));
        });
        database.publish(event("evt-2", "bob"), event(HOUSING_UPDATED, "other", "bob"));
        runUntilSent("other");
        runUntilSent("evt-2");
        assertThat(partitionOf("evt-2")).isEqualTo(EventRecords.partition("bob", 3));
        assertThat(pass.health().up()).isTrue();
        assertThat(pass.health().problems()).singleElement().asString().contains("'3>6'", "asset.events");
        assertThatThrownBy(() -> adopt()).hasMessageContaining(RECORD).hasMessageContaining("'3>6'");
        record("3");
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().problems().isEmpty();
        });
    }

    @Test
    void where_the_count_is_not_known_such_a_record_stops_its_own_topic_only() {
        database.update("INSERT INTO \"eventbus_meta\" (name, \"value\") VALUES ('%s', '3>6')".formatted(RECORD));
        database.publish(event("evt-1", "bob"), event(HOUSING_UPDATED, "other", "bob"));
        runUntilSent("other");
        Eventually.isTrue(() -> {
            pass.look();
            return !pass.health().waitingTopics().isEmpty();
        });
        assertThat(pass.health().waitingTopics()).containsOnlyKeys("asset.events");
        assertThat(pass.health().problems()).isNotEmpty().allMatch(problem -> problem.contains(RECORD));
        assertThat(kafka.ids()).containsExactly("other");
        record("3");
        runUntilSent("evt-1");
    }

    private int adopt(String... groups) throws SQLException {
        return OutboxAdmin.of(database.outbox, database.dataSource)
                .adoptPartitions(kafka, "asset.events", Duration.ofMillis(200), groups);
    }

    @Test
    void a_group_must_have_handled_what_lies_behind_an_open_transaction_too() throws SQLException {
        database.update("INSERT INTO \"eventbus_meta\" (name, \"value\") VALUES ('%s', '3')".formatted(RECORD));
        kafka.partitions.put("asset.events", 6);
        kafka.logEnd = 10;
        kafka.stableEnd = 4; // somebody's transaction; our acknowledged events follow
        kafka.handled = 4;
        assertThatThrownBy(() -> adopt("calculator")).hasMessageContaining("[calculator]");
        kafka.stableEnd = 10;
        kafka.handled = 10;
        assertThat(adopt("calculator")).isEqualTo(6);
    }
}
