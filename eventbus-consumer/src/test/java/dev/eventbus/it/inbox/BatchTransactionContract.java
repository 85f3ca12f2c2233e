package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.BatchWork;
import dev.eventbus.consumer.inbox.HandlerTransactionException;
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
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Many marks and their effects in one transaction, on every database. */
public abstract class BatchTransactionContract extends InboxDatabase {

    /** As {@link HandlerTransactionContract#hiddenCommit()}. */
    protected abstract String hiddenCommit();

    @Test
    void effects_and_marks_of_a_batch_commit_together_in_one_transaction() throws Exception {
        AtomicInteger commits = new AtomicInteger();
        JdbcInbox counted = inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            commits.addAndGet(method.equals("commit") ? 1 : 0);
            return rest.call();
        }));
        assertThat(counted.runAll(marks("c", "a", "b"), booking("c", "a", "b")))
                .containsExactly(new Decided(), new Decided(), new Decided());
        assertThat(effects()).containsExactlyInAnyOrder("a", "b", "c");
        assertThat(List.of(outcome("a"), outcome("b"), outcome("c"))).containsOnly("DONE");
        assertThat(commits).hasValue(1);
    }

    @Test
    void what_is_known_is_left_out_with_its_own_outcome_and_the_rest_has_its_effect() throws Exception {
        inbox().run(mark("done"), book("done"));
        inbox().decide(mark("dying"), Outcome.DYING);
        inbox().decide(new Mark(GROUP, "conflict", new byte[] {9}, "asset.events", 0, 8), Outcome.SKIPPED);
        assertThat(inbox().runAll(
                                marks("new", "conflict", "done", "dying", "another"),
                                booking("new", "conflict", "done", "dying", "another")))
                .containsExactly(
                        new Decided(),
                        new IdConflict(),
                        new Known(Outcome.DONE),
                        new Known(Outcome.DYING),
                        new Decided());
        assertThat(effects()).containsExactlyInAnyOrder("done", "new", "another");
    }

    @Test
    void a_batch_of_repeats_runs_nothing() throws Exception {
        inbox().runAll(marks("a", "b"), booking("a", "b"));
        assertThat(inbox().runAll(marks("a", "b"), (lender, results) -> {
                    throw new AssertionError("there is nothing to run");
                }))
                .containsExactly(new Known(Outcome.DONE), new Known(Outcome.DONE));
        assertThat(effects()).containsExactlyInAnyOrder("a", "b");
    }

    @Test
    void a_mark_held_elsewhere_is_left_out_and_the_rest_is_committed_while_it_is_held() throws Exception {
        CountDownLatch marked = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        Future<MarkResult> owner = others().submit(() -> inbox().run(mark("b"), transaction -> {
            marked.countDown();
            await(release);
        }));
        await(marked);
        assertThat(inbox().runAll(marks("a", "b", "c"), booking("a", "b", "c")))
                .containsExactly(new Decided(), new HeldElsewhere(), new Decided());
        assertThat(effects()).containsExactlyInAnyOrder("a", "c");
        assertThat(owner.isDone()).isFalse();
        release.countDown();
        assertThat(owner.get(10, TimeUnit.SECONDS)).isEqualTo(new Decided());
        assertThat(inbox().runAll(marks("b"), booking("b"))).containsExactly(new Known(Outcome.DONE));
    }

    @Test
    void if_the_work_throws_nothing_of_the_batch_is_committed_and_the_exception_comes_out_unchanged() throws Exception {
        IOException thrown = new IOException("no ledger");
        assertThatThrownBy(() -> inbox().runAll(marks("a", "b"), (lender, results) -> {
                    lender.lend(book("a"));
                    lender.lend(transaction -> {
                        throw thrown;
                    });
                }))
                .isSameAs(thrown);
        assertThat(effects()).isEmpty();
        assertThat(count("eventbus_inbox")).isZero();
    }

    @Test
    void who_commits_in_hiding_and_then_throws_an_error_does_not_take_the_others_for_handled() throws Exception {
        AssertionError thrown = new AssertionError("no ledger");
        assertThatThrownBy(() -> inbox().runAll(marks("a", "b"), (lender, results) -> {
                    lender.lend(transaction -> {
                        statement(transaction, statement -> statement.execute(hiddenCommit()));
                        throw thrown;
                    });
                    lender.lend(book("b"));
                }))
                .isInstanceOf(HandlerTransactionException.class)
                .hasSuppressedException(thrown);
        assertThat(effects()).isEmpty();
    }

    @Test
    void nor_does_one_whose_statement_fails_after_that() throws Exception {
        assertThatThrownBy(() -> inbox().runAll(marks("a", "b"), (lender, results) -> {
                    lender.lend(transaction -> statement(transaction, statement -> {
                        statement.execute(hiddenCommit());
                        statement.execute("SELECT nothing FROM nowhere");
                    }));
                    lender.lend(book("b"));
                }))
                .isInstanceOf(HandlerTransactionException.class);
        assertThat(effects()).isEmpty();
    }

    @Test
    void marks_that_another_owner_commits_right_after_a_failure_are_not_taken_for_ours() throws Exception {
        AtomicBoolean failed = new AtomicBoolean();
        JdbcInbox raced = inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            Object result = rest.call();
            if (method.equals("rollback") && failed.getAndSet(false)) {
                inbox().runAll(marks("a", "b"), booking("a", "b"));
            }
            return result;
        }));
        assertThatThrownBy(() -> raced.runAll(
                        marks("a", "b"),
                        (lender, results) -> lender.lend(transaction -> statement(transaction, statement -> {
                            failed.set(true);
                            statement.execute("SELECT nothing FROM nowhere");
                        }))))
                .isInstanceOf(SQLException.class)
                .hasNoSuppressedExceptions();
        assertThat(effects()).containsExactlyInAnyOrder("a", "b");
    }

    @Test
    void an_error_without_a_commit_comes_out_unchanged() throws Exception {
        AssertionError thrown = new AssertionError("no ledger");
        assertThatThrownBy(() -> inbox().runAll(marks("a", "b"), (lender, results) -> {
                    lender.lend(book("a"));
                    throw thrown;
                }))
                .isSameAs(thrown);
        assertThat(effects()).isEmpty();
        assertThat(count("eventbus_inbox")).isZero();
    }

    @Test
    void each_piece_of_work_has_the_connection_for_itself() throws Exception {
        List<Connection> kept = new ArrayList<>();
        inbox().runAll(marks("a", "b"), (lender, results) -> {
            lender.lend(kept::add);
            lender.lend(transaction -> {
                assertThat(kept.get(0).isClosed()).isTrue();
                book("b").run(transaction);
            });
        });
        assertThat(effects()).containsExactly("b");
    }

    @Test
    void after_a_commit_whose_answer_was_lost_each_mark_decides_for_its_own_event() throws Exception {
        for (boolean committed : new boolean[] {true, false}) {
            String id = committed ? "committed" : "lost";
            JdbcInbox losing = inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
                if (method.equals("commit")) {
                    if (committed) {
                        rest.call();
                    }
                    throw new SQLException("connection lost", "08006");
                }
                return rest.call();
            }));
            assertThatThrownBy(() -> losing.runAll(marks(id, id + "2"), booking(id, id + "2")))
                    .hasMessage("connection lost");
            assertThat(inbox().runAll(marks(id, id + "2"), booking(id, id + "2")))
                    .containsOnly(committed ? new Known(Outcome.DONE) : new Decided());
        }
        assertThat(effects()).containsExactlyInAnyOrder("committed", "committed2", "lost", "lost2");
    }

    @Test
    void marks_of_two_groups_or_twice_of_one_event_are_no_batch() {
        assertThatThrownBy(() -> inbox().runAll(marks("a", "a"), booking()))
                .isInstanceOf(IllegalArgumentException.class);
        Mark other = new Mark("other", "b", new byte[] {1}, "asset.events", 0, 8);
        assertThatThrownBy(() -> inbox().runAll(List.of(mark("a"), other), booking()))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void F19_overlapping_batches_of_several_owners_neither_deadlock_nor_double_an_effect() throws Exception {
        int owners = 4;
        int rounds = 50;
        CountDownLatch go = new CountDownLatch(1);
        List<Future<Integer>> racing = new ArrayList<>();
        for (int owner = 0; owner < owners; owner++) {
            Random random = new Random(owner);
            racing.add(others().submit(() -> {
                await(go);
                int decided = 0;
                for (int round = 0; round < rounds; round++) {
                    List<String> open = new ArrayList<>();
                    for (int i = 0; i < 10; i++) {
                        open.add("evt-" + round + "-" + i);
                    }
                    while (!open.isEmpty()) {
                        Collections.shuffle(open, random);
                        String[] ids = open.toArray(String[]::new);
                        List<MarkResult> results = inbox().runAll(marks(ids), booking(ids));
                        for (int i = 0; i < ids.length; i++) {
                            decided += results.get(i) instanceof Decided ? 1 : 0;
                            if (!(results.get(i) instanceof HeldElsewhere)) {
                                open.remove(ids[i]);
                            }
                        }
                    }
                }
                return decided;
            }));
        }
        go.countDown();
        int decided = 0;
        for (Future<Integer> owner : racing) {
            decided += owner.get(60, TimeUnit.SECONDS);
        }
        assertThat(decided).isEqualTo(rounds * 10);
        assertThat(effects()).hasSize(rounds * 10).doesNotHaveDuplicates();
    }

    private static List<Mark> marks(String... ids) {
        return Arrays.stream(ids).map(InboxDatabase::mark).toList();
    }

    /** Books those that are ours. */
    private static BatchWork booking(String... ids) {
        return (lender, results) -> {
            for (int i = 0; i < ids.length; i++) {
                if (results.get(i) instanceof Decided) {
                    lender.lend(book(ids[i]));
                }
            }
        };
    }
}
