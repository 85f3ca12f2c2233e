package dev.eventbus.consumer.inbox;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.consumer.inbox.InboxTransactions.Ending;
import dev.eventbus.consumer.inbox.InboxTransactions.SessionWatch;
import dev.eventbus.internal.Fatal;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.SQLTransactionRollbackException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The marks of many events, and the work of those that nobody has decided about, in one transaction.
 *
 * <p>The marks are inserted first, sorted by the bytes of their ids, so that two owners of the same events cannot deadlock over
 * them; marks that are taken or held elsewhere are left out. All that is ours commits together, or nothing does.
 *
 * <p>If the transaction has ended under the work, its marks tell how: the database rolls back a deadlock's victim, also where the
 * work keeps the error to itself; a commit within the work has kept all of them.
 */
final class BatchTransaction {

    private static final Comparator<Mark> BY_ID_BYTES = (a, b) ->
            Arrays.compareUnsigned(a.eventId().getBytes(UTF_8), b.eventId().getBytes(UTF_8));

    private final InboxTransactions transactions;
    private final InboxSql sql;
    private final List<Mark> marks;
    private final List<Mark> sorted;

    BatchTransaction(InboxTransactions transactions, InboxSql sql, List<Mark> marks) {
        this.transactions = transactions;
        this.sql = sql;
        this.marks = List.copyOf(marks);
        this.sorted = this.marks.stream().sorted(BY_ID_BYTES).toList();
        if (marks.stream().map(Mark::group).distinct().count() != 1
                || marks.stream().map(Mark::eventId).distinct().count() != marks.size()) {
            throw new IllegalArgumentException(
                    "marks must be of one group and of different events, was a batch of " + marks.size());
        }
    }

    /** What one transaction came to. */
    private sealed interface Came {

        /** What came of each mark, in the order given. */
        record Done(List<MarkResult> results) implements Came {}

        /** The marks could not be inserted together. */
        record NotTogether() implements Came {}

        /** It was no longer the transaction of these marks when the work was done. */
        record Lost(GuardedConnection.Lent lent, List<Mark> ours) implements Came {}

        /** The work threw, and has committed nothing. */
        record Failed(Throwable cause) implements Came {}

        /** The work threw, and the connection does not say whether something was committed. */
        record FailedWithConnection(GuardedConnection.Lent lent, List<Mark> ours, Throwable cause) implements Came {}
    }

    /** What came of each mark, in the order given. */
    List<MarkResult> run(BatchWork work) throws Exception {
        Came came = transactions.run((connection, watch) -> run(work, connection, watch, false));
        if (came instanceof Came.NotTogether) {
            came = transactions.run((connection, watch) -> run(work, connection, watch, true));
        }
        if (came instanceof Came.Lost lost) {
            throw howItEnded(lost);
        }
        if (came instanceof Came.FailedWithConnection failed) {
            throw howItFailed(failed);
        }
        if (came instanceof Came.Failed failed) {
            throw GuardedConnection.Lent.unchanged(failed.cause());
        }
        return ((Came.Done) came).results();
    }

    private Ending<Came> run(BatchWork work, Connection connection, SessionWatch watch, boolean eachAlone)
            throws Exception {
        List<InboxSql.Insertion> insertions =
                eachAlone ? sql.insertEach(connection, sorted) : sql.insertAll(connection, sorted);
        if (insertions == null) {
            return new Ending<>(new Came.NotTogether(), false);
        }
        List<MarkResult> results = resultsOf(connection, insertions);
        InboxSql.Insertion.Inserted ours = oursOf(insertions);
        if (ours != null) {
            GuardedConnection.Lent lent = new GuardedConnection.Lent(connection, sql, ours, watch);
            boolean sealed;
            try {
                work.run(lent::to, results);
                sealed = sql.seal(connection, ours);
            } catch (Throwable e) {
                Fatal.rethrow(e);
                return new Ending<>(failed(lent, decided(results), e), false);
            }
            if (!sealed) {
                return new Ending<>(new Came.Lost(lent, decided(results)), false);
            }
        }
        return new Ending<>(new Came.Done(results), ours != null);
    }

    private List<Mark> decided(List<MarkResult> results) {
        return IntStream.range(0, marks.size())
                .filter(i -> results.get(i) instanceof MarkResult.Decided)
                .mapToObj(marks::get)
                .toList();
    }

    private Exception howItEnded(Came.Lost lost) {
        HandlerTransactionException committed = new HandlerTransactionException(lost.ours());
        try {
            return hasCommitted(lost.lent(), lost.ours())
                    ? committed
                    : new SQLTransactionRollbackException(
                            "the database rolled back a transaction of %d events, and a handler kept the error to itself; nothing of it is committed"
                                    .formatted(lost.ours().size()),
                            GuardedConnection.ROLLED_BACK);
        } catch (Exception e) {
            committed.addSuppressed(e); // unknown: what might be half done must not pass for handled
            return committed;
        }
    }

    /** Asks in a new transaction. */
    private boolean hasCommitted(GuardedConnection.Lent lent, List<Mark> ours) throws Exception {
        return transactions.run(
                (connection, watch) -> new Ending<>(lent.hasCommitted(connection, ours, Outcome.DONE), false));
    }

    /** A handler may have committed before another one threw: then the marks are there, also of events that were never run. */
    private static Came failed(GuardedConnection.Lent lent, List<Mark> ours, Throwable thrown) {
        try {
            return new Came.Failed(lent.wasCommitted(ours, Outcome.DONE) ? committed(ours, thrown) : thrown);
        } catch (SQLException e) {
            InboxTransaction.suppress(e, thrown);
            return new Came.FailedWithConnection(lent, ours, thrown);
        }
    }

    private Exception howItFailed(Came.FailedWithConnection failed) {
        try {
            if (hasCommitted(failed.lent(), failed.ours())) {
                return committed(failed.ours(), failed.cause());
            }
        } catch (Exception e) {
            InboxTransaction.suppress(e, failed.cause());
        }
        return GuardedConnection.Lent.unchanged(failed.cause());
    }

    private static HandlerTransactionException committed(List<Mark> ours, Throwable thrown) {
        HandlerTransactionException committed = new HandlerTransactionException(ours);
        committed.addSuppressed(thrown);
        return committed;
    }

    private List<MarkResult> resultsOf(Connection connection, List<InboxSql.Insertion> insertions) throws SQLException {
        Map<String, MarkResult> byId = new HashMap<>();
        for (int i = 0; i < sorted.size(); i++) {
            byId.put(sorted.get(i).eventId(), resultOf(connection, sorted.get(i), insertions.get(i)));
        }
        List<MarkResult> results = new ArrayList<>();
        marks.forEach(mark -> results.add(Objects.requireNonNull(byId.get(mark.eventId()))));
        return results;
    }

    private MarkResult resultOf(Connection connection, Mark mark, InboxSql.Insertion insertion) throws SQLException {
        if (insertion instanceof InboxSql.Insertion.Inserted) {
            return new MarkResult.Decided();
        }
        InboxSql.Decision known = insertion instanceof InboxSql.Insertion.Taken ? sql.decision(connection, mark) : null;
        return known == null ? new MarkResult.HeldElsewhere() : known.about(mark);
    }

    private static InboxSql.Insertion.@Nullable Inserted oursOf(List<InboxSql.Insertion> insertions) {
        for (InboxSql.Insertion insertion : insertions) {
            if (insertion instanceof InboxSql.Insertion.Inserted inserted) {
                return inserted;
            }
        }
        return null;
    }
}
