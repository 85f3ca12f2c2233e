package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.MarkResult.Decided;
import dev.eventbus.consumer.inbox.MarkResult.HeldElsewhere;
import dev.eventbus.consumer.inbox.MarkResult.IdConflict;
import dev.eventbus.consumer.inbox.MarkResult.Known;
import dev.eventbus.consumer.inbox.Outcome;
import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What every database has to keep; one small subclass per database. */
public abstract class InboxContract extends InboxDatabase {

    /** Whether it can wait for part of a second. */
    protected boolean waitsForAHeldMark() {
        return true;
    }

    // --- who is first decides
    // -----------------------------------------------------------------------------------------

    @Test
    void an_effect_and_its_mark_commit_together() throws Exception {
        assertThat(inbox().run(mark("evt-1"), book("evt-1"))).isEqualTo(new Decided());
        assertThat(effects()).containsExactly("evt-1");
        assertThat(outcome("evt-1")).isEqualTo("DONE");
    }

    @Test
    void a_repeat_meets_done_and_its_work_is_not_run() throws Exception {
        inbox().run(mark("evt-1"), book("evt-1"));
        assertThat(inbox().run(mark("evt-1"), book("again"))).isEqualTo(new Known(Outcome.DONE));
        assertThat(effects()).containsExactly("evt-1");
    }

    @ParameterizedTest
    @EnumSource(
            value = Outcome.class,
            names = {"DYING", "SKIPPED"})
    void who_meets_a_decision_obeys_it(Outcome outcome) throws Exception {
        assertThat(inbox().decide(mark("evt-1"), outcome)).isEqualTo(new Decided());
        assertThat(inbox().run(mark("evt-1"), book("evt-1"))).isEqualTo(new Known(outcome));
        assertThat(inbox().decide(mark("evt-1"), Outcome.DYING)).isEqualTo(new Known(outcome));
        assertThat(inbox().decide(mark("evt-1"), Outcome.SKIPPED)).isEqualTo(new Known(outcome));
        assertThat(effects()).isEmpty();
    }

    @ParameterizedTest
    @EnumSource(Outcome.class)
    void every_outcome_that_another_version_or_part_wrote_is_met(Outcome outcome) throws Exception {
        inbox().decide(mark("evt-1"), Outcome.SKIPPED);
        execute("UPDATE eventbus_inbox SET outcome = '" + outcome + "'");
        assertThat(inbox().run(mark("evt-1"), book("evt-1"))).isEqualTo(new Known(outcome));
        assertThat(effects()).isEmpty();
    }

    @Test
    void a_handled_event_can_no_longer_be_dead_lettered_or_skipped() throws Exception {
        inbox().run(mark("evt-1"), book("evt-1"));
        assertThat(inbox().decide(mark("evt-1"), Outcome.DYING)).isEqualTo(new Known(Outcome.DONE));
        assertThat(inbox().decide(mark("evt-1"), Outcome.SKIPPED)).isEqualTo(new Known(Outcome.DONE));
    }

    @ParameterizedTest
    @EnumSource(
            value = Outcome.class,
            names = {"DONE", "DEAD", "PARKED"})
    void outcomes_that_need_something_else_beside_them_are_not_decided_alone(Outcome outcome) throws Exception {
        assertThatThrownBy(() -> inbox().decide(mark("evt-1"), outcome))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("DYING or SKIPPED")
                .hasMessageContaining(outcome.name());
        assertThat(count("eventbus_inbox")).isZero();
    }

    @Test
    void dying_becomes_dead_as_often_as_asked() throws Exception {
        inbox().decide(mark("evt-1"), Outcome.DYING);
        inbox().dead(mark("evt-1"));
        inbox().dead(mark("evt-1"));
        assertThat(outcome("evt-1")).isEqualTo("DEAD");
        assertThat(inbox().run(mark("evt-1"), book("evt-1"))).isEqualTo(new Known(Outcome.DEAD));
    }

    @Test
    void only_dying_becomes_dead() throws Exception {
        inbox().run(mark("done"), book("done"));
        inbox().decide(mark("skipped"), Outcome.SKIPPED);
        inbox().dead(mark("done"));
        inbox().dead(mark("skipped"));
        inbox().dead(mark("unknown"));
        assertThat(outcome("done")).isEqualTo("DONE");
        assertThat(outcome("skipped")).isEqualTo("SKIPPED");
        assertThat(count("eventbus_inbox")).isEqualTo(2);
    }

    @Test
    void an_event_that_shares_its_id_with_a_dying_one_does_not_declare_that_dead() throws Exception {
        inbox().decide(mark("evt-1"), Outcome.DYING);
        inbox().dead(new Mark(GROUP, "evt-1", new byte[] {9}, "asset.events", 0, 8));
        assertThat(outcome("evt-1")).isEqualTo("DYING");
    }

    @Test
    void another_payload_under_a_known_id_is_a_conflict_and_not_a_repeat() throws Exception {
        inbox().run(mark("evt-1"), book("evt-1"));
        Mark other = new Mark(GROUP, "evt-1", new byte[] {9}, "asset.events", 0, 8);
        assertThat(inbox().run(other, book("other"))).isEqualTo(new IdConflict());
        assertThat(inbox().decide(other, Outcome.DYING)).isEqualTo(new IdConflict());
        assertThat(effects()).containsExactly("evt-1");
    }

    @Test
    void groups_decide_for_themselves() throws Exception {
        inbox().run(mark("evt-1"), book("ledger"));
        Mark ofOther = new Mark("other.asset.events", "evt-1", new byte[] {1}, "asset.events", 0, 7);
        assertThat(inbox().run(ofOther, book("other"))).isEqualTo(new Decided());
        assertThat(effects()).containsExactlyInAnyOrder("ledger", "other");
    }

    @Test
    void ids_that_look_alike_are_different_events() throws Exception {
        List<String> lookAlikes = List.of("evt-A", "EVT-a", "evt-A ", "evt-a", "evt-\u00c1", "evt-A\u0301");
        for (String id : lookAlikes) {
            assertThat(inbox().run(mark(id), book(id))).as(id).isEqualTo(new Decided());
        }
        for (String id : lookAlikes) {
            assertThat(inbox().run(mark(id), book(id))).as(id).isEqualTo(new Known(Outcome.DONE));
        }
        assertThat(effects()).containsExactlyInAnyOrderElementsOf(lookAlikes);
    }

    @Test
    void ids_of_128_bytes_that_differ_in_the_last_one_are_different_events() throws Exception {
        String long1 = "x".repeat(127) + "1";
        String long2 = "x".repeat(127) + "2";
        assertThat(inbox().run(mark(long1), book("1"))).isEqualTo(new Decided());
        assertThat(inbox().run(mark(long2), book("2"))).isEqualTo(new Decided());
        assertThat(effects()).hasSize(2);
    }

    // --- failures
    // -----------------------------------------------------------------------------------------------------

    @Test
    void effect_and_mark_roll_back_together_and_the_exception_comes_out_unchanged() throws Exception {
        IOException thrown = new IOException("no ledger");
        assertThatThrownBy(() -> inbox().run(mark("evt-1"), transaction -> {
                    book("evt-1").run(transaction);
                    throw thrown;
                }))
                .isSameAs(thrown)
                .hasNoSuppressedExceptions();
        assertThat(effects()).isEmpty();
        assertThat(count("eventbus_inbox")).isZero();
        assertThat(inbox().run(mark("evt-1"), book("evt-1"))).isEqualTo(new Decided());
    }

    @Test
    void an_error_rolls_back_too() throws Exception {
        AssertionError thrown = new AssertionError("no ledger");
        assertThatThrownBy(() -> inbox().run(mark("evt-1"), transaction -> {
                    book("evt-1").run(transaction);
                    throw thrown;
                }))
                .isSameAs(thrown);
        assertThat(effects()).isEmpty();
        assertThat(count("eventbus_inbox")).isZero();
    }

    @Test
    void a_sql_exception_of_the_work_comes_out_unchanged() throws Exception {
        List<SQLException> seen = new ArrayList<>();
        assertThatThrownBy(() -> inbox().run(mark("evt-1"), transaction -> {
                    try (Statement statement = transaction.createStatement()) {
                        statement.execute("SELECT * FROM no_such_table");
                    } catch (SQLException e) {
                        seen.add(e);
                        throw e;
                    }
                }))
                .isInstanceOf(SQLException.class)
                .isSameAs(seen.get(0));
        assertThat(count("eventbus_inbox")).isZero();
    }

    @Test
    void a_handler_may_roll_back_to_a_savepoint() throws Exception {
        inbox().run(mark("evt-1"), transaction -> {
            book("kept").run(transaction);
            var savepoint = transaction.setSavepoint();
            book("dropped").run(transaction);
            transaction.rollback(savepoint);
        });
        assertThat(effects()).containsExactly("kept");
        assertThat(outcome("evt-1")).isEqualTo("DONE");
    }

    // --- two owners
    // ---------------------------------------------------------------------------------------------------

    @Test
    void the_second_owner_waits_for_the_first_and_then_sees_what_it_committed() throws Exception {
        CountDownLatch marked = new CountDownLatch(1);
        CountDownLatch secondWaits = new CountDownLatch(1);
        Future<MarkResult> first = others().submit(() -> inbox().run(mark("evt-1"), transaction -> {
            book("first").run(transaction);
            marked.countDown();
            await(secondWaits);
        }));
        await(marked);
        Future<MarkResult> second = others().submit(() -> {
            MarkResult result;
            do {
                result = inbox().run(mark("evt-1"), book("second"));
                secondWaits.countDown();
            } while (result instanceof HeldElsewhere);
            return result;
        });
        assertThat(first.get(10, TimeUnit.SECONDS)).isEqualTo(new Decided());
        assertThat(second.get(10, TimeUnit.SECONDS)).isEqualTo(new Known(Outcome.DONE));
        assertThat(effects()).containsExactly("first");
    }

    @Test
    void the_second_owner_takes_over_when_the_first_rolls_back() throws Exception {
        CountDownLatch marked = new CountDownLatch(1);
        CountDownLatch secondWaits = new CountDownLatch(1);
        Future<MarkResult> first = others().submit(() -> inbox().run(mark("evt-1"), transaction -> {
            book("first").run(transaction);
            marked.countDown();
            await(secondWaits);
            throw new IOException("first gives up");
        }));
        await(marked);
        Future<MarkResult> second = others().submit(() -> {
            MarkResult result;
            do {
                result = inbox().run(mark("evt-1"), book("second"));
                secondWaits.countDown();
            } while (result instanceof HeldElsewhere);
            return result;
        });
        assertThatThrownBy(() -> first.get(10, TimeUnit.SECONDS)).hasRootCauseMessage("first gives up");
        assertThat(second.get(10, TimeUnit.SECONDS)).isEqualTo(new Decided());
        assertThat(effects()).containsExactly("second");
    }

    @Test
    void a_mark_held_by_another_owner_is_reported_soon_and_other_events_are_not_held_up() throws Exception {
        CountDownLatch marked = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        Future<MarkResult> owner = others().submit(() -> inbox().run(mark("evt-1"), transaction -> {
            marked.countDown();
            await(release);
        }));
        await(marked);
        long begin = System.nanoTime();
        assertThat(inbox().run(mark("evt-1"), book("evt-1"))).isEqualTo(new HeldElsewhere());
        Duration waited = Duration.ofNanos(System.nanoTime() - begin);
        assertThat(inbox().decide(mark("evt-1"), Outcome.DYING)).isEqualTo(new HeldElsewhere());
        assertThat(inbox().run(mark("evt-2"), book("evt-2"))).isEqualTo(new Decided());
        assertThat(owner.isDone()).isFalse();
        release.countDown();
        assertThat(owner.get(10, TimeUnit.SECONDS)).isEqualTo(new Decided());
        assertThat(effects()).containsExactly("evt-2");
        assertThat(waited.toMillis()).isBetween(waitsForAHeldMark() ? 200L : 0L, 9_000L);
    }

    @Test
    void each_event_has_its_effect_once_however_many_owners_race_for_it() throws Exception {
        int owners = 6;
        int events = 60;
        CountDownLatch go = new CountDownLatch(1);
        List<Future<Integer>> racing = new ArrayList<>();
        for (int i = 0; i < owners; i++) {
            racing.add(others().submit(() -> {
                await(go);
                int decided = 0;
                for (int event = 0; event < events; event++) {
                    MarkResult result;
                    do {
                        result = inbox().run(mark("evt-" + event), book("evt-" + event));
                    } while (result instanceof HeldElsewhere);
                    decided += result instanceof Decided ? 1 : 0;
                }
                return decided;
            }));
        }
        go.countDown();
        int decided = 0;
        for (Future<Integer> owner : racing) {
            decided += owner.get(60, TimeUnit.SECONDS);
        }
        assertThat(decided).isEqualTo(events);
        assertThat(effects()).hasSize(events).doesNotHaveDuplicates();
    }

    // --- the answer of the database
    // -----------------------------------------------------------------------------------

    @Test
    void after_a_commit_whose_answer_was_lost_running_again_finds_the_effect() throws Exception {
        assertThatThrownBy(() -> losingTheAnswer(true).run(mark("evt-1"), book("evt-1")))
                .isInstanceOf(SQLException.class)
                .hasMessage("connection lost");
        assertThat(inbox().run(mark("evt-1"), book("evt-1"))).isEqualTo(new Known(Outcome.DONE));
        assertThat(effects()).containsExactly("evt-1");
    }

    @Test
    void after_a_commit_that_never_arrived_running_again_has_the_effect() throws Exception {
        assertThatThrownBy(() -> losingTheAnswer(false).run(mark("evt-1"), book("evt-1")))
                .isInstanceOf(SQLException.class)
                .hasMessage("connection lost");
        assertThat(inbox().run(mark("evt-1"), book("evt-1"))).isEqualTo(new Decided());
        assertThat(effects()).containsExactly("evt-1");
    }

    /** Neither row nor no row says anything while the first transaction goes on: only the insert waits for it. */
    @Test
    void K_20_a_commit_that_is_still_on_its_way_is_waited_for_and_then_obeyed() throws Exception {
        for (boolean arrives : new boolean[] {true, false}) {
            String id = "arrives-" + arrives;
            List<Connection> onItsWay = new ArrayList<>();
            JdbcInbox cutOff = inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
                if (method.equals("commit")) {
                    onItsWay.add(real);
                    throw new SQLException("connection lost", "08006");
                }
                return onItsWay.isEmpty() ? rest.call() : null; // what the client does now reaches nobody
            }));
            assertThatThrownBy(() -> cutOff.run(mark(id), book(id))).hasMessage("connection lost");
            assertThat(inbox().run(mark(id), book(id))).isEqualTo(new HeldElsewhere());
            try (Connection server = onItsWay.get(0)) {
                if (arrives) {
                    server.commit();
                } else {
                    server.rollback();
                }
            }
            assertThat(inbox().run(mark(id), book(id))).isEqualTo(arrives ? new Known(Outcome.DONE) : new Decided());
        }
        assertThat(effects()).containsExactlyInAnyOrder("arrives-true", "arrives-false");
    }

    @Test
    void who_holds_a_mark_for_long_does_not_hold_the_thread_that_asks_again() throws Exception {
        CountDownLatch marked = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        Future<MarkResult> owner = others().submit(() -> inbox().run(mark("evt-1"), transaction -> {
            marked.countDown();
            await(release);
        }));
        await(marked);
        inbox().run(mark("evt-1"), book("evt-1"));
        long shortest = Long.MAX_VALUE;
        for (int i = 0; i < 8; i++) {
            long begin = System.nanoTime();
            assertThat(inbox().run(mark("evt-1"), book("evt-1"))).isEqualTo(new HeldElsewhere());
            shortest = Math.min(shortest, System.nanoTime() - begin);
        }
        release.countDown();
        assertThat(owner.get(10, TimeUnit.SECONDS)).isEqualTo(new Decided());
        assertThat(Duration.ofNanos(shortest)).isLessThan(Duration.ofMillis(245));
    }

    private JdbcInbox losingTheAnswer(boolean committed) {
        return inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            if (method.equals("commit")) {
                if (committed) {
                    rest.call();
                }
                throw new SQLException("connection lost", "08006");
            }
            return rest.call();
        }));
    }
}
