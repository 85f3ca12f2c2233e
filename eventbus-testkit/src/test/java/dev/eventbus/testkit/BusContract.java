package dev.eventbus.testkit;

import static dev.eventbus.testkit.guarantees.Guarantee.allHandled;
import static dev.eventbus.testkit.guarantees.Guarantee.effectivelyOnce;
import static dev.eventbus.testkit.guarantees.Guarantee.parkedKeyBlocks;
import static dev.eventbus.testkit.guarantees.Guarantee.perKeyOrder;
import static io.github.resilience4j.core.IntervalFunction.ofExponentialBackoff;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EncodedEvent;
import dev.eventbus.Event;
import dev.eventbus.EventEncoder;
import dev.eventbus.EventRecords;
import dev.eventbus.EventType;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.testkit.guarantees.History;
import dev.eventbus.testkit.guarantees.History.Step;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Predicate;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What a runner does on any cluster: these sentences hold on the in-memory cluster and on a real broker alike, so a user's unit
 * test that passes on the one says something about the other. Time is the cluster's own.
 */
public abstract class BusContract {

    public record AssetUpdated(
            String userId, @Nullable Integer number, String changeType, String ownerType, String itemType) {}

    private static final Duration FIRST_DELAY = Duration.ofMillis(300);
    private static final int ATTEMPTS = 4;

    private final String group = "calculator-" + UUID.randomUUID();
    private final EventEncoder encoder = new EventEncoder();
    private final List<Run> runs = new CopyOnWriteArrayList<>();

    private BusUnderTest bus;
    private String topic;
    private String deadLetters;
    private EventType<AssetUpdated> assetUpdated;

    /** A cluster of this test's own, or a real one shared by all; closed after the test. */
    protected abstract BusUnderTest open() throws Exception;

    @BeforeEach
    void openBus() throws Exception {
        bus = open();
        topic = bus.newTopic(3);
        deadLetters = bus.newTopic(1);
        assetUpdated =
                EventType.of("ASSET_UPDATED", AssetUpdated.class).topic(topic).key(AssetUpdated::userId);
    }

    @AfterEach
    void closeBus() {
        bus.close();
    }

    @Test
    void events_are_handled_once_each_in_the_order_of_their_key() {
        for (int number = 0; number < 30; number++) {
            publish("user-" + number % 5, number);
        }
        bus.start(runner(run -> false).build());

        awaitRuns(30);
        assertThat(runs).extracting(Run::attempt).containsOnly(1);
        for (int user = 0; user < 5; user++) {
            int first = user;
            assertThat(runsOf("user-" + user))
                    .extracting(Run::number)
                    .containsExactly(first, first + 5, first + 10, first + 15, first + 20, first + 25);
        }
        awaitAllCommitted();
    }

    @Test
    void a_failing_event_is_retried_with_growing_delays_its_key_waits_and_the_others_go_on() {
        publish("bob", 1);
        publish("bob", 2);
        publish("alice", 1);
        bus.start(runner(run -> is("bob/1", run) && run.attempt() <= 2).build());

        awaitRuns(5);
        List<Run> bob = runsOf("bob");
        assertThat(bob).extracting(Run::toString).containsExactly("bob/1#1", "bob/1#2", "bob/1#3", "bob/2#1");
        assertThat(between(bob.get(0), bob.get(1))).isGreaterThanOrEqualTo(FIRST_DELAY);
        assertThat(between(bob.get(1), bob.get(2))).isGreaterThanOrEqualTo(FIRST_DELAY.multipliedBy(2));
        assertThat(runs)
                .as("alice does not wait for bob")
                .extracting(Run::toString)
                .containsSubsequence("alice/1#1", "bob/1#3");
        awaitAllCommitted();
        assertThat(bus.records(deadLetters)).isEmpty();
    }

    @Test
    void an_event_that_always_fails_is_dead_lettered_unchanged_and_its_key_goes_on() {
        Event<AssetUpdated> poison = event("bob", 1).withHeader("tenant", "eu");
        publish(poison);
        publish("bob", 2);
        bus.start(runner(run -> is("bob/1", run)).build());

        awaitRuns(ATTEMPTS + 1);
        assertThat(runsOf("bob"))
                .extracting(Run::toString)
                .containsExactly("bob/1#1", "bob/1#2", "bob/1#3", "bob/1#4", "bob/2#1");
        awaitAllCommitted();
        ConsumerRecord<byte[], byte[]> original =
                recordsOf("bob".getBytes(UTF_8)).get(0);
        ConsumerRecord<byte[], byte[]> letter = onlyDeadLetter();
        assertUntouched(letter, original);
        Origin origin = originOf(letter);
        assertThat(origin)
                .usingRecursiveComparison()
                .comparingOnlyFields(
                        "topic", "partition", "offset", "group", "eventId", "attempts", "reason", "exception")
                .isEqualTo(Origin.of(original, group, FailureReason.ATTEMPTS_EXHAUSTED, origin.failedAt())
                        .withEventId(poison.id())
                        .withFailure(new Run.Failure(), ATTEMPTS, origin.firstFailedAt()));
        assertThat(origin.timestamp()).isEqualTo(Instant.ofEpochMilli(original.timestamp()));
        assertThat(Duration.between(origin.firstFailedAt(), origin.failedAt()))
                .isGreaterThanOrEqualTo(FIRST_DELAY.multipliedBy(1 + 2 + 4));
    }

    @Test
    void bytes_that_are_no_event_are_dead_lettered_unchanged_and_never_reach_a_handler() {
        byte[] key = {(byte) 0xff, 0, 'k'};
        byte[] value = {'{', '"', (byte) 0xc3, 0, 1, 2};
        ProducerRecord<byte[], byte[]> garbage = new ProducerRecord<>(topic, 0, key, value);
        garbage.headers().add("x", new byte[] {(byte) 0xfe}).add("x", null);
        bus.send(garbage);
        publish("alice", 1);
        bus.start(runner(run -> false).build());

        awaitRuns(1);
        awaitAllCommitted();
        ConsumerRecord<byte[], byte[]> letter = onlyDeadLetter();
        assertUntouched(letter, recordsOf(key).get(0));
        assertThat(originOf(letter).reason()).isIn(FailureReason.MALFORMED_JSON, FailureReason.BAD_ENCODING);
        assertThat(originOf(letter).attempts()).isZero();
        assertThat(runs).extracting(Run::key).containsExactly("alice");
    }

    @Test
    void a_duplicate_on_the_wire_has_one_effect_with_an_inbox() throws SQLException {
        try (Ledger ledger = Ledger.create()) {
            Event<AssetUpdated> event = event("bob", 1);
            publish(event);
            publish(event);
            publish("bob", 2);
            bus.start(ConsumerRunner.builder(bus.kafka(), group)
                    .inTransaction(
                            JdbcInbox.h2(ledger.database()),
                            assetUpdated,
                            (handled, tx) -> ledger.book(
                                    tx.connection(),
                                    handled.key() + "/" + handled.payload().number()))
                    .afterRetries(AfterRetries.deadLetter(deadLetters))
                    .build());

            awaitAllCommitted();
            publish(event);
            awaitAllCommitted();
            assertThat(ledger.booked()).containsExactly("bob/1", "bob/2");
            assertThat(bus.records(deadLetters)).isEmpty();
        }
    }

    @Test
    void an_event_of_an_unknown_type_is_dead_lettered() {
        Event<AssetUpdated> foreign = foreign("bob");
        publish(foreign);
        publish("bob", 2);
        bus.start(runner(run -> false).build());

        awaitRuns(1);
        awaitAllCommitted();
        Origin origin = originOf(onlyDeadLetter());
        assertThat(origin.reason()).isEqualTo(FailureReason.UNKNOWN_TYPE);
        assertThat(origin.eventId()).isEqualTo(foreign.id());
    }

    @Test
    void an_event_of_an_unknown_type_is_skipped_where_the_runner_ignores_other_types() {
        publish(foreign("bob"));
        publish("bob", 2);
        bus.start(runner(run -> false).ignoringOtherTypes().build());

        awaitRuns(1);
        awaitAllCommitted();
        assertThat(bus.records(deadLetters)).isEmpty();
    }

    @Test
    void a_record_without_a_key_is_handled() {
        EncodedEvent encoded = encoder.encode(event("bob", 1));
        bus.send(new ProducerRecord<>(topic, 2, null, encoded.value()));
        bus.start(runner(run -> false).build());

        awaitRuns(1);
        assertThat(runs).extracting(Run::toString).containsExactly("bob/1#1");
        awaitAllCommitted();
    }

    @Test
    void the_committed_offset_passes_a_dead_letter_only_after_the_broker_has_it() {
        GatedKafka gated = new GatedKafka(bus.kafka(), deadLetters);
        publish("bob", 1);
        publish("bob", 2);
        ConsumerRecord<byte[], byte[]> poison = recordsOf("bob".getBytes(UTF_8)).get(0);
        bus.start(runner(gated, run -> is("bob/1", run)).build());

        bus.await("the letter to be refused three times", () -> gated.refused() >= 3);
        assertThat(bus.committed(group, topic, poison.partition()).orElse(0)).isLessThanOrEqualTo(poison.offset());
        assertThat(runsOf("bob"))
                .as("the key waits, and the handler is not run again for a failed sending")
                .hasSize(ATTEMPTS);
        gated.open();
        awaitRuns(ATTEMPTS + 1);
        awaitAllCommitted();
        onlyDeadLetter();
    }

    @Test
    void a_line_from_a_console_producer_is_handled_like_any_event() {
        String line = """
                {"eventId":"evt-test-001","eventType":"ASSET_UPDATED","timestamp":"2025-12-29T10:00:00Z","userId":"user-001",\
                "changeType":"ITEM_ADDED","ownerType":"SELF","itemType":"ASSET"}""";
        bus.send(new ProducerRecord<>(topic, "user-001".getBytes(UTF_8), line.getBytes(UTF_8)));
        bus.start(runner(run -> false).build());

        awaitRuns(1);
        awaitAllCommitted();
        assertThat(runs).singleElement().satisfies(run -> {
            assertThat(run.id()).isEqualTo("evt-test-001");
            assertThat(run.key()).isEqualTo("user-001");
            assertThat(run.number()).as("missing").isNull();
        });
    }

    @Test
    void a_runner_that_starts_again_goes_on_after_the_committed_offset() {
        publish("bob", 1);
        ConsumerRunner first = runner(run -> false).build();
        bus.start(first);
        awaitRuns(1);
        first.close();
        publish("bob", 2);
        bus.start(runner(run -> false).build());

        awaitRuns(2);
        assertThat(runs).extracting(Run::toString).containsExactly("bob/1#1", "bob/2#1");
        awaitAllCommitted();
    }

    @Test
    void events_of_an_aborted_transaction_are_never_handled_and_hold_nothing_up() {
        try (Producer<byte[], byte[]> producer = bus.kafka().producer(Map.of("transactional.id", group))) {
            producer.initTransactions();
            producer.beginTransaction();
            assertThat(producer.send(recordOf(event("bob", 1)))).succeedsWithin(Duration.ofSeconds(10));
            producer.abortTransaction();
            producer.beginTransaction();
            assertThat(producer.send(recordOf(event("bob", 2)))).succeedsWithin(Duration.ofSeconds(10));
            producer.commitTransaction();
        }
        bus.start(runner(run -> false).build());

        awaitRuns(1);
        assertThat(runs).extracting(Run::toString).containsExactly("bob/2#1");
        awaitAllCommitted();
    }

    @Test
    void a_member_that_is_thrown_out_loses_its_partitions_joins_anew_and_repeats_no_effect() throws SQLException {
        AtomicInteger lost = new AtomicInteger();
        AtomicInteger assigned = new AtomicInteger();
        try (Ledger ledger = Ledger.create()) {
            bus.start(ConsumerRunner.builder(bus.kafka(), group)
                    .inTransaction(
                            JdbcInbox.h2(ledger.database()),
                            assetUpdated,
                            (event, tx) -> ledger.book(
                                    tx.connection(),
                                    event.key() + "/" + event.payload().number()))
                    .afterRetries(AfterRetries.deadLetter(deadLetters))
                    .listener(new RunnerListener() {
                        @Override
                        public void rebalanced(int came, int revoked, int gone) {
                            assigned.addAndGet(came);
                            lost.addAndGet(gone);
                        }
                    })
                    .build());
            publish("bob", 1);
            bus.await("the first effect, whose offset is still to be committed", () -> effectsIn(ledger) == 1);
            bus.expel(group);
            bus.await("3 partitions lost and assigned again", () -> lost.get() >= 3 && assigned.get() >= 6);
            publish("bob", 2);
            awaitAllCommitted();
            assertThat(ledger.booked()).containsExactly("bob/1", "bob/2");
        }
    }

    @Test
    void a_dead_letter_whose_answers_are_lost_is_there_and_its_handler_is_not_run_again() {
        publish("bob", 1);
        publish("bob", 2);
        bus.loseAnswersFrom(deadLetters, 2);
        bus.start(runner(run -> is("bob/1", run)).build());

        awaitRuns(ATTEMPTS + 1);
        awaitAllCommitted();
        assertThat(runsOf("bob"))
                .extracting(Run::toString)
                .containsExactly("bob/1#1", "bob/1#2", "bob/1#3", "bob/1#4", "bob/2#1");
        assertThat(bus.records(deadLetters))
                .isNotEmpty()
                .extracting(letter -> originOf(letter).offset())
                .containsOnly(recordsOf("bob".getBytes(UTF_8)).get(0).offset());
    }

    @Test
    void offsets_whose_answers_are_lost_are_committed_all_the_same_and_nothing_is_repeated() {
        bus.loseCommitAnswersTo(group, 1);
        ConsumerRunner first = runner(run -> false).build();
        bus.start(first);
        publish("bob", 1);
        awaitAllCommitted();
        publish("alice", 1);
        awaitAllCommitted();
        first.close();

        bus.start(runner(run -> false).build());
        publish("bob", 2);
        awaitAllCommitted();
        assertThat(runs).extracting(Run::toString).containsExactlyInAnyOrder("bob/1#1", "alice/1#1", "bob/2#1");
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void an_effect_whose_commit_gets_no_answer_happens_once_and_uses_no_attempt(boolean arrives) throws Exception {
        AtomicBoolean lost = new AtomicBoolean();
        try (Ledger ledger = bus.newLedger()) {
            bus.start(ConsumerRunner.builder(bus.kafka(), group)
                    .inTransaction(bus.inboxOf(ledger), assetUpdated, (event, tx) -> {
                        runs.add(Run.of(event, tx, bus.kafka().clock().instant()));
                        ledger.book(tx.connection(), event.key() + "/" + numberOf(event));
                        if (lost.compareAndSet(false, true)) {
                            bus.loseThisCommit(arrives);
                        }
                    })
                    .afterRetries(AfterRetries.deadLetter(deadLetters))
                    .build());
            publish("bob", 1);
            publish("bob", 2);

            awaitAllCommitted();
            assertThat(ledger.booked()).containsExactly("bob/1", "bob/2");
            assertThat(runs)
                    .extracting(Run::toString)
                    .containsExactlyElementsOf(
                            arrives ? List.of("bob/1#1", "bob/2#1") : List.of("bob/1#1", "bob/1#1", "bob/2#1"));
            assertThat(bus.records(deadLetters)).isEmpty();
        }
    }

    @Test
    void the_guarantees_hold_through_retries_duplicates_a_parked_key_and_a_second_member() throws SQLException {
        History told = new History();
        AtomicBoolean mended = new AtomicBoolean();
        List<Event<AssetUpdated>> published = new ArrayList<>();
        try (Ledger ledger = Ledger.create()) {
            JdbcInbox inbox = JdbcInbox.h2(ledger.database());
            bus.start(bookingUnless(ledger, inbox, told, mended));
            publishInto(published, 0, 30);
            bus.await("a first effect", () -> !told.entries().isEmpty());
            bus.start(bookingUnless(ledger, inbox, told, mended));
            publishInto(published, 30, 60);
            published.stream().filter(event -> numberOf(event) % 4 == 0).forEach(this::publish);
            awaitAllCommitted();
            assertThat(told.violations(parkedKeyBlocks())).isEmpty();
            assertThat(told.entries())
                    .filteredOn(entry -> entry.step() == Step.PARKED)
                    .hasSize(1);

            mended.set(true);
            assertThat(inbox.parking().redrive(group, topic, "user-3".getBytes(UTF_8)))
                    .isTrue();
            bus.await("60 effects", () -> effectsIn(ledger) >= 60);
            History rows = new History();
            rows.published(published);
            for (String booked : ledger.booked()) {
                String[] parts = booked.split("/", 2);
                rows.handled(parts[0], parts[1]);
            }
            assertThat(rows.violations(allHandled(), perKeyOrder(), effectivelyOnce()))
                    .isEmpty();
            assertThat(told.violations(parkedKeyBlocks())).isEmpty();
        }
    }

    private static int effectsIn(Ledger ledger) {
        try {
            return ledger.booked().size();
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    private void publishInto(List<Event<AssetUpdated>> published, int from, int to) {
        for (int number = from; number < to; number++) {
            Event<AssetUpdated> event = event("user-" + number % 5, number);
            published.add(event);
            publish(event);
        }
    }

    private static int numberOf(Event<? extends AssetUpdated> event) {
        return Objects.requireNonNull(event.payload().number());
    }

    /** Every seventh event fails once, the thirteenth until it is mended. */
    private ConsumerRunner bookingUnless(Ledger ledger, JdbcInbox inbox, History told, AtomicBoolean mended) {
        return ConsumerRunner.builder(bus.kafka(), group)
                .inTransaction(inbox, assetUpdated, (event, tx) -> {
                    int number = numberOf(event);
                    boolean poison = number == 13 && !mended.get();
                    if (poison && tx.attempt() == ATTEMPTS) {
                        told.parked(event.key(), event.id());
                    }
                    if (poison || number % 7 == 0 && tx.attempt() == 1) {
                        throw new Run.Failure();
                    }
                    ledger.book(tx.connection(), event.key() + "/" + event.id());
                    told.handled(event.key(), event.id());
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(ATTEMPTS)
                        .intervalFunction(ofExponentialBackoff(FIRST_DELAY, 2.0))
                        .build())
                .afterRetries(AfterRetries.parkKey(inbox, deadLetters))
                .build();
    }

    // ---- the runner under test

    private ConsumerRunnerBuilder runner(Predicate<Run> fails) {
        return runner(bus.kafka(), fails);
    }

    private ConsumerRunnerBuilder runner(KafkaCluster kafka, Predicate<Run> fails) {
        return ConsumerRunner.builder(kafka, group)
                .on(assetUpdated, (event, delivery) -> handle(event, delivery, fails))
                .retry(RetryConfig.custom()
                        .maxAttempts(ATTEMPTS)
                        .intervalFunction(ofExponentialBackoff(FIRST_DELAY, 2.0))
                        .build())
                .afterRetries(AfterRetries.deadLetter(deadLetters));
    }

    private void handle(Event<? extends AssetUpdated> event, Delivery delivery, Predicate<Run> fails)
            throws Run.Failure {
        Run run = Run.of(event, delivery, bus.kafka().clock().instant());
        runs.add(run);
        if (fails.test(run)) {
            throw new Run.Failure();
        }
    }

    private static boolean is(String event, Run run) {
        return run.toString().startsWith(event + "#");
    }

    // ---- what goes in

    private Event<AssetUpdated> event(String user, int number) {
        return event(assetUpdated, user, number);
    }

    private static Event<AssetUpdated> event(EventType<AssetUpdated> type, String user, int number) {
        AssetUpdated payload = new AssetUpdated(user, number, "ITEM_ADDED", "SELF", "ASSET");
        return Event.of(type, UUID.randomUUID().toString(), Instant.parse("2025-01-15T10:35:00Z"), payload);
    }

    private Event<AssetUpdated> foreign(String user) {
        return event(
                EventType.of("SOMETHING_ELSE", AssetUpdated.class).topic(topic).key(AssetUpdated::userId), user, 1);
    }

    private void publish(String user, int number) {
        publish(event(user, number));
    }

    private void publish(Event<AssetUpdated> event) {
        bus.send(recordOf(event));
    }

    private ProducerRecord<byte[], byte[]> recordOf(Event<AssetUpdated> event) {
        return EventRecords.of(encoder.encode(event), topic, EventRecords.partition(event.key(), 3));
    }

    // ---- what came of it

    private void awaitRuns(int count) {
        bus.await("%d runs of the handler".formatted(count), () -> runs.size() >= count);
    }

    private void awaitAllCommitted() {
        Map<Integer, Long> last = new HashMap<>();
        bus.records(topic).forEach(record -> last.merge(record.partition(), record.offset(), Math::max));
        bus.await(
                "all of %s committed by %s".formatted(topic, group),
                () -> last.entrySet().stream()
                        .allMatch(
                                end -> bus.committed(group, topic, end.getKey()).orElse(0) > end.getValue()));
    }

    private List<Run> runsOf(String key) {
        return runs.stream().filter(run -> run.key().equals(key)).toList();
    }

    private List<ConsumerRecord<byte[], byte[]>> recordsOf(byte[] key) {
        return bus.records(topic).stream()
                .filter(record -> Arrays.equals(record.key(), key))
                .toList();
    }

    private static Duration between(Run first, Run second) {
        return Duration.between(first.at(), second.at());
    }

    private ConsumerRecord<byte[], byte[]> onlyDeadLetter() {
        List<ConsumerRecord<byte[], byte[]>> letters = bus.records(deadLetters);
        assertThat(letters).hasSize(1);
        return letters.get(0);
    }

    private static Origin originOf(ConsumerRecord<byte[], byte[]> letter) {
        return Objects.requireNonNull(DeadLetter.of(letter).origin());
    }

    private static void assertUntouched(
            ConsumerRecord<byte[], byte[]> letter, ConsumerRecord<byte[], byte[]> original) {
        assertThat(letter.key()).isEqualTo(original.key());
        assertThat(letter.value()).isEqualTo(original.value());
        Header[] before = original.headers().toArray();
        assertThat(Arrays.copyOf(letter.headers().toArray(), before.length)).containsExactly(before);
    }
}
