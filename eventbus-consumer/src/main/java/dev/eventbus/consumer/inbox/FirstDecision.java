package dev.eventbus.consumer.inbox;

import dev.eventbus.consumer.inbox.InboxTransactions.Ending;
import java.sql.Connection;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Inserts a mark first, and then makes true what it says, or finds who was before. Remembers marks that were held elsewhere when they
 * were last asked for, and forgets them when they are too many. Thread-safe.
 */
final class FirstDecision {

    /** What runs between the mark and its commit. */
    interface Effect {

        /** @param ours the mark's insertion */
        void run(InboxSql.Insertion.Inserted ours) throws Exception;
    }

    private record MarkOf(String group, String eventId) {}

    private static final int MOST = 10_000;

    private final InboxSql sql;
    private final Set<MarkOf> held = ConcurrentHashMap.newKeySet();

    FirstDecision(InboxSql sql) {
        this.sql = sql;
    }

    /** In a transaction that has not begun otherwise. Empty if the row that stood in the way is gone. */
    Ending<Optional<MarkResult>> decide(Connection connection, Mark mark, Outcome outcome, Effect effect)
            throws Exception {
        MarkOf id = new MarkOf(mark.group(), mark.eventId());
        boolean again = !held.isEmpty() && held.contains(id);
        InboxSql.Insertion insertion = sql.insert(
                connection,
                mark,
                outcome,
                again ? InboxSql.AGAIN_LOCK_TIMEOUT_MILLIS : InboxSql.MARK_LOCK_TIMEOUT_MILLIS);
        if (insertion instanceof InboxSql.Insertion.Held) {
            isHeld(id);
            return new Ending<>(Optional.of(new MarkResult.HeldElsewhere()), false);
        }
        if (again) {
            held.remove(id);
        }
        if (insertion instanceof InboxSql.Insertion.Inserted ours) {
            GuardedConnection.Lent lent = new GuardedConnection.Lent(connection, sql, ours, () -> false);
            boolean sealed;
            try {
                effect.run(ours);
                sealed = sql.seal(connection, ours);
            } catch (Throwable e) {
                throw lent.asItIs(e, mark, outcome);
            }
            if (!sealed) {
                throw lent.howItEnded(mark, outcome);
            }
            return new Ending<>(Optional.of(new MarkResult.Decided()), true);
        }
        InboxSql.Decision known = sql.decision(connection, mark);
        if (known == null) {
            return new Ending<>(Optional.empty(), false);
        }
        return new Ending<>(Optional.of(known.about(mark)), false);
    }

    private void isHeld(MarkOf id) {
        if (held.size() >= MOST) {
            held.clear();
        }
        held.add(id);
    }
}
