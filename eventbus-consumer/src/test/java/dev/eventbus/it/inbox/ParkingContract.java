package dev.eventbus.it.inbox;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult.Decided;
import dev.eventbus.consumer.inbox.MarkResult.HeldElsewhere;
import dev.eventbus.consumer.inbox.MarkResult.Known;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.inbox.ParkingStore.Change;
import dev.eventbus.consumer.inbox.ParkingStore.Drained;
import dev.eventbus.consumer.parking.HeaderBytes;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkedKey.State;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What parked keys promise on every database: order, once, and nobody's event is lost between adding and lifting. */
public abstract class ParkingContract extends InboxDatabase {

    private static final String TOPIC = "asset.events";
    private static final byte[] ALICE = {'a', 0, (byte) 0xff};
    protected static final Instant NOW = Instant.parse("2030-01-01T00:00:00Z");

    /** How many appends race a drainer that lifts the key whenever it is empty. */
    protected abstract int races();

    /** On how many keys they race at the same time, so that their commits share what is written to disk. */
    protected int keysAtOnce() {
        return 1;
    }

    @AfterEach
    final void no_event_is_left_without_its_key() throws SQLException {
        assertThat(count("""
                        eventbus_parked_event event WHERE NOT EXISTS (SELECT 1 FROM eventbus_parked_key parked
                        WHERE parked.consumer_group = event.consumer_group AND parked.topic = event.topic
                          AND parked.key_bytes = event.key_bytes)""")).isZero();
    }

    private ParkingStore parking() {
        return inbox().parking();
    }

    private static ParkedEvent event(String id, @Nullable String reason) {
        return event(id, ALICE, reason);
    }

    private static ParkedEvent event(String id, byte[] key, @Nullable String reason) {
        byte[] headers = HeaderBytes.encode(new RecordHeaders().add("h", new byte[] {9}));
        return new ParkedEvent(
                TOPIC, key, id, 2, 7, new byte[] {1}, headers, NOW, reason == null ? 0 : 4, reason, null);
    }

    private static ParkedEvent withoutValue(String id, byte[] key) {
        return ParkedEvent.following(
                id,
                new ConsumerRecord<>(
                        TOPIC,
                        3,
                        Long.MAX_VALUE,
                        NOW.plusMillis(1).toEpochMilli(),
                        TimestampType.CREATE_TIME,
                        key.length,
                        ConsumerRecord.NULL_SIZE,
                        key,
                        null,
                        new RecordHeaders(),
                        Optional.empty()));
    }

    protected final void park(String id, State state) throws SQLException {
        assertThat(parking().park(mark(id), event(id, "ATTEMPTS_EXHAUSTED"), state, null))
                .isEqualTo(new Decided());
    }

    private void follow(String id) throws SQLException {
        assertThat(parking().follow(mark(id), event(id, null))).contains(new Decided());
    }

    protected final ParkedKey alice() throws SQLException {
        return parking().load(GROUP).get(0);
    }

    private Drained drain() throws Exception {
        return parking()
                .drain(GROUP, alice(), NOW, (event, tx) -> book(event.eventId()).run(tx));
    }

    @Test
    void a_parked_event_is_kept_byte_for_byte() throws SQLException {
        ParkedEvent event = withoutValue("evt-é", ALICE).failed(5, "NOT_RETRYABLE", "java.lang.IllegalStateException");
        assertThat(parking().park(mark("evt-é"), event, State.WAITING, NOW.plusSeconds(60)))
                .isEqualTo(new Decided());
        ParkedEvent found = parking().find(GROUP, "evt-é").orElseThrow();
        assertThat(found).usingRecursiveComparison().isEqualTo(event);
        assertThat(found.record().headers().toArray()).isEmpty();
        ParkedKey key = alice();
        assertThat(key.topic()).isEqualTo(TOPIC);
        assertThat(key.key()).isEqualTo(ALICE);
        assertThat(key.state()).isEqualTo(State.WAITING);
        assertThat(key.nextTry()).isEqualTo(NOW.plusSeconds(60));
        assertThat(key.events()).isEqualTo(1);
        assertThat(key.partition()).isEqualTo(3);
        assertThat(outcome("evt-é")).isEqualTo("PARKED");
        assertThat(parking().load("another")).isEmpty();
        assertThat(parking().find("another", "evt-é")).isEmpty();
    }

    @Test
    void parking_twice_changes_nothing() throws SQLException {
        park("evt-1", State.PARKED);
        assertThat(parking().park(mark("evt-1"), event("evt-1", "OTHER"), State.REDRIVE, null))
                .isEqualTo(new Known(Outcome.PARKED));
        assertThat(alice().state()).isEqualTo(State.PARKED);
        assertThat(alice().events()).isEqualTo(1);
    }

    @Test
    void whoever_decided_before_is_obeyed() throws Exception {
        inbox().run(mark("evt-1"), book("evt-1"));
        assertThat(parking().park(mark("evt-1"), event("evt-1", "X"), State.PARKED, null))
                .isEqualTo(new Known(Outcome.DONE));
        assertThat(parking().load(GROUP)).isEmpty();
        park("evt-2", State.PARKED);
        assertThat(parking().follow(mark("evt-1"), event("evt-1", null))).contains(new Known(Outcome.DONE));
        assertThat(alice().events()).isEqualTo(1);
    }

    @Test
    void later_events_follow_in_order_and_once() throws Exception {
        park("evt-3", State.REDRIVE);
        follow("evt-1");
        follow("evt-2");
        assertThat(parking().follow(mark("evt-1"), event("evt-1", null))).contains(new Known(Outcome.PARKED));
        assertThat(alice().events()).isEqualTo(3);
        assertThat(drain()).isInstanceOf(Drained.Ran.class);
        assertThat(drain()).isInstanceOf(Drained.Ran.class);
        assertThat(drain()).isInstanceOf(Drained.Ran.class);
        assertThat(drain()).isEqualTo(new Drained.Empty());
        assertThat(alice().partition()).isEqualTo(-1);
        assertThat(parking().lift(GROUP, alice())).isTrue();
        assertThat(effects()).containsExactly("evt-3", "evt-1", "evt-2");
        assertThat(outcome("evt-2")).isEqualTo("DONE");
        assertThat(count("eventbus_parked_event")).isZero();
        assertThat(count("eventbus_parked_key")).isZero();
    }

    @Test
    void an_event_whose_key_is_not_parked_is_live_and_nothing_is_written() throws Exception {
        assertThat(parking().follow(mark("evt-1"), event("evt-1", null))).isEmpty();
        assertThat(outcome("evt-1")).isEqualTo("none");
        assertThat(inbox().run(mark("evt-1"), book("evt-1"))).isEqualTo(new Decided());
    }

    @Test
    void a_key_is_due_when_it_is_redriven_or_its_time_has_come() throws Exception {
        park("evt-1", State.PARKED);
        ParkedKey key = alice();
        assertThat(parking().due(GROUP, NOW)).isEmpty();
        assertThat(drain()).isEqualTo(new Drained.Nothing());
        for (State state : List.of(State.WAITING, State.REDRIVE)) {
            parking().failed(GROUP, alice(), event("evt-1", "X"), new Change(state, NOW.plusSeconds(1), 3));
            assertThat(parking().due(GROUP, NOW)).as(state + " too early").isEmpty();
            assertThat(drain()).isEqualTo(new Drained.Nothing());
            assertThat(parking().due(GROUP, NOW.plusSeconds(1))).hasSize(1);
        }
        assertThat(alice().redrives()).isEqualTo(3);
        assertThat(parking().redrive(GROUP, TOPIC, ALICE)).isTrue();
        assertThat(parking().redrive(GROUP, TOPIC, new byte[] {1})).isFalse();
        assertThat(parking().due(GROUP, NOW)).hasSize(1);
        assertThat(parking().drain(GROUP, key, NOW, (event, tx) -> book("1").run(tx)))
                .isInstanceOf(Drained.Ran.class);
    }

    @Test
    void work_that_fails_leaves_everything_as_it_was() throws Exception {
        park("evt-1", State.REDRIVE);
        assertThatThrownBy(() -> parking().drain(GROUP, alice(), NOW, (event, tx) -> {
                    book("half").run(tx);
                    throw new IllegalStateException("boom");
                }))
                .isInstanceOf(IllegalStateException.class);
        assertThat(effects()).isEmpty();
        assertThat(outcome("evt-1")).isEqualTo("PARKED");
        assertThat(parking().failed(GROUP, alice(), event("evt-1", "NOT_RETRYABLE"), new Change(State.PARKED, null, 1)))
                .isTrue();
        assertThat(parking().find(GROUP, "evt-1").orElseThrow().reason()).isEqualTo("NOT_RETRYABLE");
        assertThat(alice().state()).isEqualTo(State.PARKED);
        assertThat(parking().failed(GROUP, alice(), event("gone", "X"), new Change(State.WAITING, null, 9)))
                .isFalse();
        assertThat(alice().state()).as("of an event that is not parked").isEqualTo(State.PARKED);
    }

    @Test
    void what_a_person_or_another_owner_has_said_meanwhile_is_not_overwritten_by_an_attempt_that_failed()
            throws Exception {
        parking().park(mark("evt-1"), event("evt-1", "RETRY_LATER"), State.WAITING, NOW);
        ParkedKey drained = alice();
        assertThat(parking().redrive(GROUP, TOPIC, ALICE)).isTrue();
        assertThat(parking().failed(GROUP, drained, event("evt-1", "X"), new Change(State.PARKED, null, 1)))
                .isFalse();
        assertThat(alice().state()).isEqualTo(State.REDRIVE);
        assertThat(parking().find(GROUP, "evt-1").orElseThrow().reason()).isEqualTo("RETRY_LATER");
        ParkedKey again = alice();
        assertThat(parking().failed(GROUP, again, event("evt-1", "X"), new Change(State.REDRIVE, NOW, 0)))
                .isTrue();
        assertThat(parking().failed(GROUP, again, event("evt-1", "Y"), new Change(State.PARKED, null, 1)))
                .as("of a zombie")
                .isFalse();
        assertThat(parking()
                        .failed(
                                GROUP,
                                again.changed(State.REDRIVE, "X", NOW, 0),
                                event("evt-1", "Y"),
                                new Change(State.PARKED, null, 1)))
                .as("what was read back is what was written")
                .isTrue();
        assertThat(alice().redrives()).isEqualTo(1);
    }

    @Test
    void a_redrive_does_not_wait_for_a_handler_that_runs() throws Exception {
        park("evt-1", State.REDRIVE);
        ParkedKey key = alice();
        CountDownLatch runs = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        Future<Drained> first = others().submit(() -> parking().drain(GROUP, key, NOW, (event, tx) -> {
            runs.countDown();
            await(go);
        }));
        await(runs);
        assertThatThrownBy(() -> parking().redrive(GROUP, TOPIC, ALICE))
                .isInstanceOf(SQLException.class)
                .hasMessageContaining("being handled right now");
        go.countDown();
        assertThat(first.get(10, TimeUnit.SECONDS)).isInstanceOf(Drained.Ran.class);
    }

    @Test
    void a_drained_event_leaves_no_note_of_its_attempts() throws Exception {
        park("evt-1", State.REDRIVE);
        inbox().attempts().started(mark("evt-1"));
        drain();
        assertThat(count("eventbus_attempt")).isZero();
    }

    @Test
    void a_state_of_a_later_version_is_left_to_it() throws Exception {
        park("evt-1", State.REDRIVE);
        execute("UPDATE eventbus_parked_key SET state = 'CHILLED'");
        assertThat(alice().state()).isEqualTo(State.PARKED);
        assertThat(drain()).isEqualTo(new Drained.Nothing());
    }

    @Test
    void a_time_stamp_that_no_database_keeps_parks_all_the_same() throws SQLException {
        for (long millis : new long[] {Long.MAX_VALUE, Long.MIN_VALUE, -1}) {
            String id = "evt" + millis;
            ConsumerRecord<byte[], byte[]> record = new ConsumerRecord<>(
                    TOPIC,
                    0,
                    1,
                    millis,
                    TimestampType.CREATE_TIME,
                    ALICE.length,
                    ConsumerRecord.NULL_SIZE,
                    ALICE,
                    null,
                    new RecordHeaders(),
                    Optional.empty());
            assertThat(parking()
                            .park(mark(id), ParkedEvent.following(id, record).failed(1, "X", null), State.PARKED, null))
                    .isEqualTo(new Decided());
            assertThat(parking().find(GROUP, id)).isPresent();
        }
    }

    @Test
    void V03_an_event_that_had_its_effect_is_not_run_again() throws Exception {
        park("evt-1", State.REDRIVE);
        execute("UPDATE eventbus_inbox SET outcome = 'DONE'");
        assertThat(drain()).isInstanceOf(Drained.AlreadyApplied.class);
        assertThat(effects()).isEmpty();
        assertThat(drain()).isEqualTo(new Drained.Empty());
    }

    @Test
    void an_event_whose_mark_is_gone_is_still_to_be_handled() throws Exception {
        park("evt-1", State.REDRIVE);
        execute("DELETE FROM eventbus_inbox");
        assertThat(drain()).isInstanceOf(Drained.Ran.class);
        assertThat(effects()).containsExactly("evt-1");
        assertThat(outcome("evt-1")).isEqualTo("DONE");
    }

    /** Where settling a mark does not wait for one that is just being made; on MariaDB it does, and finds what came of it. */
    protected final void anEventWhoseMarkIsJustBeingMadeStaysWhereItIs() throws Exception {
        park("evt-1", State.REDRIVE);
        execute("DELETE FROM eventbus_inbox");
        CountDownLatch runs = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        Future<?> owner = others().submit(() -> inbox().run(mark("evt-1"), transaction -> {
            runs.countDown();
            await(go);
            throw new IllegalStateException("it is rolled back");
        }));
        await(runs);
        assertThat(drain()).isInstanceOf(Drained.Nothing.class);
        go.countDown();
        assertThatThrownBy(() -> owner.get(10, TimeUnit.SECONDS)).hasMessageContaining("rolled back");
        assertThat(drain()).isInstanceOf(Drained.Ran.class);
        assertThat(effects()).containsExactly("evt-1");
    }

    /** Where the database does not wait by a limit of its session alone. */
    protected final void aKeyThatIsJustBeingParkedIsNotWaitedFor() throws Exception {
        CountDownLatch runs = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        Future<?> other = others().submit(() -> parking().inTransaction(GROUP, rows -> {
            rows.parked().insertKey(rows.connection(), event("evt-0", "X"), State.PARKED, "X", null);
            runs.countDown();
            awaitQuietly(go);
            return rows;
        }));
        await(runs);
        Future<?> parked =
                others().submit(() -> parking().park(mark("evt-1"), event("evt-1", "X"), State.PARKED, null));
        try {
            assertThat(parked.get(10, TimeUnit.SECONDS)).isEqualTo(new HeldElsewhere());
        } finally {
            go.countDown();
        }
        other.get(10, TimeUnit.SECONDS);
        park("evt-1", State.PARKED);
    }

    private static void awaitQuietly(CountDownLatch latch) {
        try {
            await(latch);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void V02_two_drainers_at_once_run_an_event_once() throws Exception {
        park("evt-1", State.REDRIVE);
        ParkedKey key = alice();
        CountDownLatch runs = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        Future<Drained> first = others().submit(() -> parking().drain(GROUP, key, NOW, (event, tx) -> {
            book(event.eventId()).run(tx);
            runs.countDown();
            await(go);
        }));
        await(runs);
        assertThat(drain()).isEqualTo(new Drained.Nothing());
        assertThat(parking().lift(GROUP, key)).isFalse();
        assertThat(parking().discard(GROUP, key, id -> true)).isZero();
        Optional<?> meanwhile = parking().follow(mark("evt-2"), event("evt-2", null));
        assertThat(meanwhile.orElseThrow()).isIn(new Decided(), new HeldElsewhere());
        assertThat(parking().park(mark("evt-3"), event("evt-3", "X"), State.PARKED, null))
                .isIn(new Decided(), new HeldElsewhere());
        go.countDown();
        assertThat(first.get(10, TimeUnit.SECONDS)).isInstanceOf(Drained.Ran.class);
        assertThat(effects()).containsExactly("evt-1");
    }

    @Test
    void a_key_with_events_cannot_be_lifted() throws SQLException {
        park("evt-1", State.PARKED);
        assertThat(parking().lift(GROUP, alice())).isFalse();
        assertThat(alice().events()).isEqualTo(1);
    }

    @Test
    void events_and_keys_can_be_given_up() throws SQLException {
        park("evt-1", State.PARKED);
        follow("evt-2");
        follow("evt-3");
        assertThat(parking().discard(GROUP, alice(), "another"::equals)).isZero();
        assertThat(parking().discard(GROUP, alice(), "evt-2"::equals)).isEqualTo(1);
        assertThat(outcome("evt-2")).isEqualTo("SKIPPED");
        assertThat(alice().events()).isEqualTo(2);
        assertThat(parking().discard(GROUP, alice(), id -> true)).isEqualTo(2);
        assertThat(outcome("evt-1")).isEqualTo("SKIPPED");
        assertThat(parking().load(GROUP)).isEmpty();
        park("evt-4", State.PARKED);
        assertThat(parking().discard(GROUP, alice(), "evt-4"::equals)).isEqualTo(1);
        assertThat(
                        count(
                                "eventbus_redrive WHERE state = 'DONE' AND discarded = planned AND note = 'ParkingStore.discard'"))
                .as("each is in the audit")
                .isEqualTo(3);
        assertThat(parking().load(GROUP)).as("nothing left to wait for").isEmpty();
    }

    private boolean does(ParkingStore.RowsWork<Boolean> work) throws SQLException {
        return parking().inTransaction(GROUP, work);
    }

    @Test
    void a_redrive_that_finds_nothing_to_write_says_what_it_has_seen() throws Exception {
        inbox().run(mark("evt-1"), book("evt-1"));
        park("evt-2", State.PARKED);
        follow("evt-3");
        assertThat(does(rows -> rows.decided(mark("none")) == null)).isTrue();
        assertThat(does(rows -> new Known(Outcome.DONE).equals(rows.decided(mark("evt-1")))))
                .isTrue();
        assertThat(does(rows -> rows.outcome(mark("evt-2")) == Outcome.PARKED)).isTrue();
        ParkedKey key = alice();
        assertThat(does(rows -> rows.parked().eventIds(rows.connection(), key).equals(List.of("evt-2", "evt-3"))))
                .isTrue();
        assertThat(does(rows -> rows.parked().settle(rows.connection(), "evt-1", "SKIPPED")))
                .isFalse();
        assertThat(does(rows -> rows.parked().lockToLift(rows.connection(), key)))
                .isTrue();
        assertThat(does(rows -> rows.parked().redrive(rows.connection(), TOPIC, new byte[] {1})))
                .isFalse();
        assertThat(outcome("evt-1")).isEqualTo("DONE");
        assertThat(alice().events()).isEqualTo(2);
    }

    @Test
    void what_a_redrive_writes_is_kept() throws Exception {
        park("evt-1", State.REDRIVE);
        assertThat(does(rows -> {
                    rows.forget("evt-1");
                    rows.keep();
                    return rows.parked().settle(rows.connection(), "evt-1", "DEAD")
                            && rows.mark(mark("evt-2"), Outcome.DEAD)
                            && rows.parked().insertEvent(rows.connection(), event("evt-2", null));
                }))
                .isTrue();
        assertThat(outcome("evt-1")).isEqualTo("DEAD");
        assertThat(outcome("evt-2")).isEqualTo("DEAD");
        assertThat(drain()).isInstanceOf(Drained.Ran.class);
        assertThat(effects()).containsExactly("evt-2");
    }

    @Test
    void a_redrive_that_meets_a_mark_which_another_transaction_holds_says_so_and_keeps_nothing() throws Exception {
        park("evt-1", State.PARKED);
        CountDownLatch runs = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        Future<?> owner = others().submit(() -> inbox().run(mark("evt-2"), transaction -> {
            runs.countDown();
            await(go);
        }));
        await(runs);
        assertThat(does(rows -> {
                    rows.parked().deleteEvent(rows.connection(), "evt-1");
                    rows.keep();
                    return rows.mark(mark("evt-2"), Outcome.SKIPPED);
                }))
                .isFalse();
        go.countDown();
        owner.get(10, TimeUnit.SECONDS);
        assertThat(alice().events()).isEqualTo(1);
        assertThat(outcome("evt-2")).isEqualTo("DONE");
        assertThat(does(rows -> rows.mark(mark("evt-2"), Outcome.SKIPPED)))
                .as("decided by now")
                .isFalse();
    }

    @Test
    void a_topic_that_was_made_anew_uses_offsets_again_and_nothing_is_swallowed() throws Exception {
        park("evt-1", State.REDRIVE);
        follow("evt-2"); // at the same partition and offset
        follow("evt-3");
        drain();
        drain();
        drain();
        assertThat(effects()).containsExactly("evt-1", "evt-2", "evt-3");
    }

    @Test
    void keys_that_look_alike_are_different_keys() throws SQLException {
        for (String key : List.of("alice", "Alice", "alice ", "älice")) {
            String id = "evt of " + key;
            ParkedEvent event = withoutValue(id, key.getBytes(UTF_8)).failed(1, "NOT_RETRYABLE", null);
            assertThat(parking().park(mark(id), event, State.PARKED, null)).isEqualTo(new Decided());
        }
        assertThat(parking().load(GROUP)).hasSize(4);
    }

    @Test
    void F9_an_event_that_comes_while_its_key_is_lifted_is_parked_or_live_and_never_lost() throws Exception {
        int events = races() / keysAtOnce();
        List<Future<Integer>> adding = new ArrayList<>();
        List<Future<List<String>>> draining = new ArrayList<>();
        for (int k = 0; k < keysAtOnce(); k++) {
            byte[] key = ("key-" + k).getBytes(UTF_8);
            CountDownLatch added = new CountDownLatch(1);
            adding.add(others().submit(() -> addAll(key, events, added)));
            draining.add(others().submit(() -> drainAll(key, added)));
        }
        int live = 0;
        for (int k = 0; k < keysAtOnce(); k++) {
            String prefix = "key-" + k + "-";
            assertThat(draining.get(k).get(5, TimeUnit.MINUTES))
                    .containsExactlyElementsOf(
                            IntStream.range(0, events).mapToObj(i -> prefix + i).toList());
            live += adding.get(k).get(10, TimeUnit.SECONDS);
        }
        assertThat(live).as("how often a key had been lifted").isPositive();
        assertThat(parking().load(GROUP)).isEmpty();
    }

    private int addAll(byte[] key, int events, CountDownLatch added) throws SQLException {
        int live = 0;
        try {
            for (int i = 0; i < events; i++) {
                live += add(new String(key, UTF_8) + "-" + i, key) ? 1 : 0;
            }
        } finally {
            added.countDown();
        }
        return live;
    }

    /** Runs what is there and lifts the key whenever nothing is, until nothing more comes; what it ran, in order. */
    private List<String> drainAll(byte[] bytes, CountDownLatch added) throws Exception {
        ParkedKey key = new ParkedKey(TOPIC, bytes, State.REDRIVE, "X", null, 0, NOW, 0, 2);
        List<String> ran = new ArrayList<>();
        boolean last;
        do {
            last = added.getCount() == 0;
            Drained drained = parking().drain(GROUP, key, NOW, (event, tx) -> {});
            if (drained instanceof Drained.Ran one) {
                ran.add(one.event().eventId());
            } else if (drained instanceof Drained.Empty) {
                parking().lift(GROUP, key);
            } else {
                last &= parking().first(GROUP, key).isEmpty();
                continue;
            }
            last = false;
        } while (!last);
        return ran;
    }

    /** As a lane does; an event that is live parks its key anew. True if it was live. */
    private boolean add(String id, byte[] key) throws SQLException {
        Mark mark = mark(id);
        while (true) {
            Optional<?> followed = parking().follow(mark, event(id, key, null));
            if (followed.isPresent() && followed.get() instanceof Decided) {
                return false;
            }
            if (followed.isEmpty()
                    && parking().park(mark, event(id, key, "X"), State.REDRIVE, null) instanceof Decided) {
                return true;
            }
        }
    }
}
