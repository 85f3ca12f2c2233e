package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.outbox.internal.Room;
import dev.eventbus.outbox.sql.Shards;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** While there is a backlog, what Kafka has is deleted on a second connection, and more is read and sent meanwhile. */
class DeletesAsideTest {

    private static final String ASIDE = "eventbus-relay-delete";
    private static final int BACKLOG = 2_500;

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final List<String> published = new ArrayList<>();
    private final AtomicInteger deletedByOthers = new AtomicInteger();
    private final Watched watched = new Watched(database.dataSource);
    private final RelayPass pass = new RelayPass(
            database.outbox,
            watched.dataSource(),
            kafka,
            new OutboxRelay.Settings(
                    "one",
                    Duration.ofSeconds(10),
                    SendMode.PIPELINED,
                    OutboxRelay.DEFAULT_MAX_RELAY_STOP,
                    new RelayListener() {
                        @Override
                        public void deletedByOthers(int rows) {
                            deletedByOthers.addAndGet(rows);
                        }
                    }),
            new OutboxRelay.Signals(this::woken, () -> {}));

    /** How many DELETEs aside have ended, however they did. */
    private final Semaphore ended = new Semaphore(0);

    private void woken() {
        if (Thread.currentThread().getName().equals(ASIDE)) {
            ended.release();
        }
    }

    /** A database whose DELETEs aside go on when the test says so. */
    private static final class Watched {

        private final DataSource real;
        final AtomicInteger open = new AtomicInteger();
        final AtomicInteger openedAside = new AtomicInteger();
        final AtomicInteger fetches = new AtomicInteger();

        /** Whether DELETEs aside wait for {@link #mayGo}. */
        volatile boolean holds;

        final Semaphore held = new Semaphore(0);
        final Semaphore mayGo = new Semaphore(0);

        volatile @Nullable SQLException insteadOfDelete;
        volatile @Nullable SQLException afterDelete;
        volatile @Nullable SQLException insteadOfFetch;

        /** On the first connection. */
        volatile @Nullable SQLException insteadOfAny;

        volatile boolean refusesSecond;
        volatile boolean leavesInterruptFlag;
        final AtomicInteger failed = new AtomicInteger();

        /** Whether a fetch before the next DELETE on the first connection comes too early, and whether there was one. */
        volatile boolean isForbidden;

        volatile boolean fetchedBeforeDelete;

        Watched(DataSource real) {
            this.real = real;
        }

        DataSource dataSource() {
            return proxy(DataSource.class, real);
        }

        private <T> T proxy(Class<T> type, T target) {
            return type.cast(Proxy.newProxyInstance(
                    Watched.class.getClassLoader(),
                    new Class<?>[] {type},
                    (self, method, arguments) -> call(target, method, arguments)));
        }

        private @Nullable Object call(Object target, Method method, Object @Nullable [] arguments) throws Throwable {
            boolean aside = Thread.currentThread().getName().equals(ASIDE);
            String name = method.getName();
            String sql = name.equals("prepareStatement") && arguments != null ? (String) arguments[0] : "";
            if (name.equals("getConnection") && aside) {
                if (refusesSecond) {
                    throw new SQLException("the pool has one connection", "08001");
                }
                openedAside.incrementAndGet();
            }
            if (!sql.isEmpty() && !aside) {
                throwIfAny(insteadOfAny);
            }
            if (sql.contains("THEN DELETE") && !aside) {
                isForbidden = false;
            }
            if (sql.contains(" AS turn")) {
                fetchedBeforeDelete |= isForbidden;
                fetches.incrementAndGet();
                throwIfAny(insteadOfFetch);
            }
            if (name.equals("execute") && aside) { // of a DELETE
                beforeDelete();
            }
            try {
                Object result = method.invoke(target, arguments);
                if (name.equals("execute") && aside) {
                    throwIfAny(afterDelete);
                    if (leavesInterruptFlag) {
                        Thread.currentThread().interrupt();
                    }
                }
                if (name.equals("close") && target instanceof Connection) {
                    open.decrementAndGet();
                }
                if (result instanceof Connection connection
                        && name.equals("getConnection")
                        && target instanceof DataSource) {
                    open.incrementAndGet();
                    return proxy(Connection.class, connection);
                }
                return sql.contains("THEN DELETE")
                        ? proxy(PreparedStatement.class, (PreparedStatement) result)
                        : result;
            } catch (InvocationTargetException e) {
                throw e.getCause();
            }
        }

        private void beforeDelete() throws SQLException, InterruptedException {
            if (holds) {
                held.release();
                if (!mayGo.tryAcquire(20, TimeUnit.SECONDS)) {
                    throw new AssertionError("the test has forgotten a DELETE");
                }
            }
            failed.addAndGet(insteadOfDelete == null ? 0 : 1);
            throwIfAny(insteadOfDelete);
        }

        private static void throwIfAny(@Nullable SQLException exception) throws SQLException {
            if (exception != null) {
                throw exception;
            }
        }

        void letGo() {
            holds = false;
            mayGo.release();
        }
    }

    @AfterEach
    void close() {
        watched.letGo();
        pass.end(Duration.ofSeconds(5));
        assertThat(watched.open).as("connections that were not given back").hasValue(0);
    }

    private void publishBacklog() {
        int first = published.size();
        List<String> more = IntStream.range(first, first + BACKLOG)
                .mapToObj(i -> "evt-" + i)
                .toList();
        database.publish(more.stream().map(id -> event(id, "bob")).toArray(Event<?>[]::new));
        published.addAll(more);
    }

    private void round() {
        var unused = pass.run();
        kafka.advance(Duration.ofSeconds(1)); // over the back-off after a failure
    }

    private void runUntilEmpty() {
        Eventually.isTrue(() -> {
            round();
            return database.ids().isEmpty();
        });
        assertThat(pass.health().up()).isTrue();
    }

    /** Rounds until a DELETE aside is held. */
    private void runUntilHeld() {
        watched.holds = true;
        Eventually.isTrue(() -> {
            if (database.ids().isEmpty()) { // before there was a second connection
                publishBacklog();
            }
            round();
            return watched.held.tryAcquire();
        });
    }

    /** The one that is held goes on, and the next one is held. */
    private void runUntilHeldAgain() {
        watched.mayGo.release();
        runUntilHeld();
    }

    @Test
    void more_is_sent_while_a_delete_is_under_way_and_nothing_is_sent_twice_or_deleted_beside_it() {
        runUntilHeld();
        int sent = kafka.ids().size();
        int left = database.ids().size();
        Eventually.isTrue(() -> {
            round();
            return kafka.ids().size() > sent;
        });
        for (int i = 0; i < 50; i++) {
            round();
        }
        assertThat(database.ids()).hasSize(left);
        watched.letGo();
        runUntilEmpty();
        assertThat(kafka.ids()).isEqualTo(published);
    }

    @Test
    void a_delete_that_failed_aside_is_repeated_on_the_first_connection_before_more_is_read() {
        runUntilHeld();
        watched.afterDelete = new SQLException("the answer is lost", "08006");
        List<String> before = database.ids();
        var unused = ended.drainPermits();
        watched.letGo();
        Eventually.isTrue(ended::tryAcquire);
        assertThat(database.ids()).as("it has committed, and nobody knows").hasSizeLessThan(before.size());
        watched.isForbidden = true;
        for (int i = 0; i < 20; i++) {
            round();
        }
        assertThat(watched.fetchedBeforeDelete).isFalse();
        watched.afterDelete = null;
        runUntilEmpty();
        assertThat(kafka.ids()).isEqualTo(published);
    }

    @Test
    void a_delete_that_did_not_commit_aside_is_made_up_for() {
        watched.insteadOfDelete = new SQLException("somebody keeps a row locked", "55P03");
        Eventually.isTrue(() -> {
            if (database.ids().isEmpty()) {
                publishBacklog();
            }
            round();
            return watched.failed.get() > 0;
        });
        watched.insteadOfDelete = null;
        runUntilEmpty();
        assertThat(kafka.ids()).isEqualTo(published);
    }

    @Test
    void a_delete_whose_answer_was_lost_and_that_still_runs_is_nobody_elses() throws Exception {
        runUntilHeld();
        watched.insteadOfDelete = new SQLException("the answer is lost", "08006");
        String first = database.ids().get(0);
        try (Connection stillRuns = database.begin();
                PreparedStatement delete = stillRuns.prepareStatement("DELETE FROM %s WHERE id = ?"
                        .formatted(database.outbox.names().qualifiedEvents()))) {
            delete.setString(1, first);
            assertThat(delete.executeUpdate()).isEqualTo(1);
            watched.letGo();
            Eventually.isTrue(() -> {
                round();
                return pass.health().problems().toString().contains("perhaps a session of this relay's own");
            });
            watched.insteadOfDelete = null;
            stillRuns.commit();
        }
        runUntilEmpty();
        assertThat(deletedByOthers).hasValue(0);
        assertThat(kafka.ids()).isEqualTo(published);
    }

    @Test
    void rows_that_a_crash_brings_back_are_sent_before_the_later_ones_though_their_relay_had_stood_by_meanwhile() {
        runUntilHeld();
        publishBacklog();
        List<String> before = database.ids();
        database.update("CREATE TABLE before_the_delete AS SELECT * FROM \"eventbus_outbox\"");
        database.update(
                "UPDATE \"eventbus_relay_lease\" SET owner = 'two', epoch = epoch + 1, lease_until = DATEADD('HOUR', 1, CURRENT_TIMESTAMP)");
        Eventually.isTrue(() -> {
            round();
            return pass.health().ownedShards().isEmpty();
        });
        watched.letGo();
        Eventually.isTrue(() -> {
            round();
            return database.ids().size() < before.size() && pass.health().inFlight() == 0;
        });
        round();
        List<String> deleted = new ArrayList<>(before);
        deleted.removeAll(database.ids());
        kafka.answer = FakeKafka.Answer.HOLD;
        database.update("UPDATE \"eventbus_relay_lease\" SET owner = NULL, lease_until = NULL");
        Eventually.isTrue(() -> {
            round();
            return pass.health().inFlight() > 0 && kafka.producer().closedWith == null;
        });
        // what was committed asynchronously is undone
        database.update(
                "INSERT INTO \"eventbus_outbox\" OVERRIDING SYSTEM VALUE SELECT * FROM before_the_delete WHERE seq NOT IN (SELECT seq FROM \"eventbus_outbox\")");
        assertThat(database.ids()).isEqualTo(before);
        watched.insteadOfAny = new SQLException("the server has crashed", "08006");
        round();
        watched.insteadOfAny = null;
        kafka.answer = FakeKafka.Answer.ACK;
        Eventually.isTrue(() -> {
            round();
            kafka.producer().ackAll();
            return database.ids().isEmpty();
        });
        assertThat(deleted).isNotEmpty();
        assertThat(kafka.ids()).endsWith(before.toArray(String[]::new));
    }

    @Test
    void a_delete_that_is_not_answered_is_told_and_hinders_no_round() {
        runUntilHeld();
        Eventually.isTrue(() -> {
            round();
            return pass.health()
                    .problems()
                    .toString()
                    .contains("has not answered a DELETE of events that Kafka has for 3 s");
        });
        assertThat(pass.health().up()).as("there is room for more").isTrue();
        publishBacklog();
        Eventually.isTrue(() -> {
            round();
            return !pass.health().up();
        });
        assertThat(pass.health().inFlight()).isEqualTo(Room.MAX_ROWS_PER_TOPIC);
        watched.letGo();
        runUntilEmpty();
        assertThat(pass.health().problems()).isEmpty();
        assertThat(kafka.ids()).isEqualTo(published);
    }

    @Test
    void an_end_that_fails_on_its_connection_leaves_nothing_open_and_no_thread() {
        runUntilHeld();
        watched.letGo();
        watched.insteadOfAny = new SQLException("the server has gone", "08006");
        pass.end(Duration.ofSeconds(5));
        watched.insteadOfAny = null;
        assertThat(watched.open).hasValue(0);
        assertThat(database.ids()).isNotEmpty();
    }

    @Test
    void a_thread_that_a_driver_has_interrupted_is_done_without() {
        runUntilHeld();
        watched.leavesInterruptFlag = true;
        watched.letGo();
        publishBacklog();
        runUntilEmpty();
        publishBacklog();
        runUntilEmpty();
        assertThat(kafka.ids()).isEqualTo(published);
        assertThat(watched.openedAside).hasValue(1);
    }

    @Test
    void without_a_second_connection_it_deletes_on_its_first() {
        watched.refusesSecond = true;
        publishBacklog();
        runUntilEmpty();
        assertThat(kafka.ids()).isEqualTo(published);
        assertThat(watched.openedAside).hasValue(0);
    }

    @Test
    void
            whoever_loses_the_connection_it_reads_on_reads_no_more_before_the_delete_aside_has_ended_and_opens_both_anew() {
        runUntilHeld();
        watched.insteadOfFetch = new SQLException("the server has gone", "08006");
        Eventually.isTrue(() -> {
            round();
            return !pass.health().up();
        });
        watched.insteadOfFetch = null;
        int fetches = watched.fetches.get();
        for (int i = 0; i < 50; i++) {
            round();
        }
        assertThat(watched.fetches).hasValue(fetches);
        int openedAside = watched.openedAside.get();
        runUntilHeldAgain();
        assertThat(watched.openedAside).hasValue(openedAside + 1);
        watched.letGo();
        runUntilEmpty();
        assertThat(kafka.ids()).isEqualTo(published);
    }

    @Test
    void an_end_waits_for_a_delete_no_longer_than_it_may_and_what_is_left_is_the_next_ones() {
        runUntilHeld();
        long began = System.nanoTime();
        pass.end(Duration.ofMillis(300));
        assertThat(Duration.ofNanos(System.nanoTime() - began)).isLessThan(Duration.ofSeconds(2));
        assertThat(database.strings("SELECT owner FROM \"eventbus_relay_lease\" WHERE owner IS NOT NULL"))
                .as("or the next owner would read a part of what is being deleted")
                .hasSize(Shards.COUNT);
        watched.letGo();
        Eventually.isTrue(() -> watched.open.get() == 0);
        List<String> left = database.ids();
        assertThat(published).endsWith(left.toArray(String[]::new));
        assertThat(kafka.ids()).containsAll(published.subList(0, published.size() - left.size()));
    }

    @Test
    void a_call_by_hand_leaves_nothing_under_way() {
        publishBacklog();
        Eventually.isTrue(() -> {
            pass.runToEnd();
            return database.ids().isEmpty();
        });
        assertThat(kafka.ids()).isEqualTo(published);
        assertThat(watched.openedAside).hasValue(0);
    }
}
