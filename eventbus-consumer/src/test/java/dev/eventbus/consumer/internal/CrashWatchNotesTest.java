package dev.eventbus.consumer.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.AttemptStore;
import dev.eventbus.consumer.inbox.AttemptStore.AloneTurn;
import dev.eventbus.consumer.inbox.AttemptStore.Attempts;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.internal.CrashWatch.Suspicion;
import dev.eventbus.consumer.internal.CrashWatch.Verdict;
import dev.eventbus.it.inbox.HookedDataSource;
import java.sql.SQLException;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What a watch believes to have noted is what stands in the database, also when that answers only now and then. */
class CrashWatchNotesTest {

    private static final Mark MARK = new Mark("ledger", "evt-1", new byte[] {1}, "asset.events", 0, 7);

    private final JdbcDataSource database = new JdbcDataSource();
    private final Suspicion suspicion = new Suspicion();
    private boolean outOfReach;
    private final AttemptStore attempts = JdbcInbox.h2(HookedDataSource.over(database, (real, method, args, rest) -> {
                if (outOfReach && method.equals("commit")) {
                    throw new SQLException("connection lost", "08006");
                }
                return rest.call();
            }))
            .attempts();
    private final CrashWatch watch = new CrashWatch(attempts);

    @BeforeEach
    void tables() throws SQLException {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        JdbcInbox.createTables(database);
    }

    @Test
    void a_watched_event_whose_return_could_not_be_noted_is_not_taken_for_one_that_never_came_back()
            throws SQLException {
        suspicion.watch();
        assertThat(watch.begin(suspicion, MARK)).isEqualTo(Verdict.RUN);
        failsUnnoted();
        assertThat(watch.begin(suspicion, MARK)).isEqualTo(Verdict.RUN);
        assertThat(attempts.of(MARK)).isEqualTo(new Attempts(0, 1));
        watch.after(suspicion, MARK, false, 2);
        assertThat(attempts.of(MARK)).isEqualTo(new Attempts(2, 0));
    }

    @Test
    void an_event_that_runs_alone_holds_the_others_for_a_minute_and_no_longer() {
        AtomicLong nanos = new AtomicLong(Long.MAX_VALUE - 1); // soon negative
        AloneTurn turn = new AloneTurn(nanos::get);
        assertThat(turn.holdsOthers()).isFalse();
        AloneTurn.Taken first = Objects.requireNonNull(turn.tryTake());
        nanos.addAndGet(AloneTurn.AT_MOST.toNanos());
        assertThat(turn.holdsOthers()).isTrue();
        assertThat(turn.tryTake()).as("it still runs").isNull();
        nanos.incrementAndGet();
        assertThat(turn.holdsOthers()).isFalse();
        turn.giveBack(first);
        assertThat(turn.tryTake()).isNotNull();
        assertThat(turn.holdsOthers()).as("the next one is held anew").isTrue();
    }

    @Test
    void a_turn_that_is_not_given_back_is_taken_over_after_a_minute_and_its_late_return_ends_nothing() {
        AtomicLong nanos = new AtomicLong();
        AloneTurn turn = new AloneTurn(nanos::get);
        AloneTurn.Taken hangs = Objects.requireNonNull(turn.tryTake());
        nanos.addAndGet(AloneTurn.AT_MOST.toNanos() + 1);
        AloneTurn.Taken next = Objects.requireNonNull(turn.tryTake());
        assertThat(turn.holdsOthers()).isTrue();
        turn.giveBack(hangs);
        assertThat(turn.holdsOthers()).isTrue();
        assertThat(turn.tryTake()).isNull();
        turn.giveBack(next);
        assertThat(turn.holdsOthers()).isFalse();
    }

    @Test
    void a_suspect_beside_one_that_hangs_counts_no_start_so_that_it_is_not_convicted_of_what_that_one_does()
            throws SQLException {
        attempts.started(MARK); // by the process that has ended
        AtomicLong nanos = new AtomicLong();
        for (int restart = 0; restart < 10; restart++) {
            AloneTurn turn = new AloneTurn(nanos::get);
            AloneTurn.Taken hangs = Objects.requireNonNull(turn.tryTake());
            nanos.addAndGet(AloneTurn.AT_MOST.toNanos() + 1);
            AloneTurn.Taken next = Objects.requireNonNull(turn.tryTake());
            assertThat(next.isBeside()).isTrue();
            CrashWatch.Suspicion innocent = new CrashWatch.Suspicion();
            innocent.watch();
            assertThat(watch.begin(innocent, MARK)).isEqualTo(Verdict.RUN_ALONE);
            innocent.runsAlone(next);
            assertThat(watch.begin(innocent, MARK)).as("restart %d", restart).isEqualTo(Verdict.RUN);
            turn.giveBack(next);
            assertThat(Objects.requireNonNull(turn.tryTake()).isBeside())
                    .as("it hangs still")
                    .isTrue();
            turn.giveBack(hangs);
        }
    }

    @Test
    void nor_is_a_start_taken_off_that_was_not_counted_and_one_without_starts_left_is_convicted_beside_another_too()
            throws SQLException {
        attempts.started(MARK);
        for (int start = 1; start < CrashWatch.MAX_STARTS; start++) {
            attempts.startedAlone(MARK, CrashWatch.MAX_STARTS);
        }
        AtomicLong nanos = new AtomicLong();
        AloneTurn turn = new AloneTurn(nanos::get);
        assertThat(turn.tryTake()).isNotNull(); // and never comes back
        nanos.addAndGet(AloneTurn.AT_MOST.toNanos() + 1);
        suspicion.watch();
        suspicion.runsAlone(turn.tryTake());
        assertThat(watch.begin(suspicion, MARK)).isEqualTo(Verdict.CONVICTED);

        attempts.failed(MARK, 0); // one start less
        assertThat(watch.begin(suspicion, MARK)).isEqualTo(Verdict.RUN);
        watch.after(suspicion, MARK, false, 1);
        assertThat(attempts.of(MARK).starts()).isEqualTo(CrashWatch.MAX_STARTS - 1);
    }

    @Test
    void a_suspect_whose_return_could_not_be_noted_is_not_counted_once_more() throws SQLException {
        attempts.started(MARK); // by the process that has ended
        suspicion.watch();
        suspicion.runsAlone(new AloneTurn().tryTake());
        assertThat(watch.begin(suspicion, MARK)).isEqualTo(Verdict.RUN);
        for (int tries = 0; tries < 10; tries++) {
            failsUnnoted();
            assertThat(watch.begin(suspicion, MARK)).isEqualTo(Verdict.RUN);
        }
        assertThat(attempts.of(MARK)).isEqualTo(new Attempts(0, 2));
    }

    @Test
    void a_start_that_could_not_be_noted_is_noted_by_the_next_try() throws SQLException {
        suspicion.watch();
        outOfReach = true;
        assertThatThrownBy(() -> watch.begin(suspicion, MARK)).isInstanceOf(SQLException.class);
        outOfReach = false;
        assertThat(watch.begin(suspicion, MARK)).isEqualTo(Verdict.RUN);
        assertThat(attempts.of(MARK)).isEqualTo(new Attempts(0, 1));
    }

    private void failsUnnoted() {
        outOfReach = true;
        watch.after(suspicion, MARK, false, 1);
        outOfReach = false;
    }
}
