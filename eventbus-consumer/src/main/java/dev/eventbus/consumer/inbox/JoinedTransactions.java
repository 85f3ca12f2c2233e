package dev.eventbus.consumer.inbox;

import java.sql.Connection;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** The user's transactions. Isolation and session are theirs too. */
final class JoinedTransactions implements InboxTransactions {

    private final Transactions transactions;

    JoinedTransactions(Transactions transactions) {
        this.transactions = transactions;
    }

    @Override
    public <T> T run(Step<T> step) throws Exception {
        Joined<T> joined = new Joined<>(step);
        try {
            transactions.run(joined);
        } catch (RuntimeException | Error e) {
            if (joined.rolledBack == null) {
                throw e; // not ours: the begin or the commit failed
            }
            return joined.afterRollback();
        }
        return joined.afterCommit();
    }

    /** The step as the user's transactions see it: a return commits, an exception rolls back. */
    private static final class Joined<T> implements Consumer<Connection> {

        private final Step<T> step;

        // One thread.
        private @Nullable Ending<T> ending;
        private @Nullable Throwable thrown;
        private @Nullable RollBack rolledBack;

        Joined(Step<T> step) {
            this.step = step;
        }

        @Override
        public void accept(Connection connection) {
            ending = null;
            thrown = null;
            rolledBack = null;
            Ending<T> ended;
            try {
                if (connection.getAutoCommit()) {
                    throw new IllegalStateException(
                            "Transactions lent a connection in auto-commit mode, which would keep an effect without its mark."
                                    + " Nothing was written; let run(work) begin a transaction before it calls the work.");
                }
                ended = step.in(connection, () -> true);
            } catch (Throwable e) {
                thrown = e;
                throw rollBack(e);
            }
            ending = ended;
            if (!ended.commits()) {
                throw rollBack(null);
            }
        }

        private RollBack rollBack(@Nullable Throwable because) {
            RollBack made = new RollBack(because);
            rolledBack = made;
            return made;
        }

        T afterCommit() throws Exception {
            if (rolledBack != null) {
                return afterRollback(); // they keep exceptions to themselves; at best they rolled back
            }
            if (ending == null) {
                throw new IllegalStateException(
                        "Transactions returned without having run the work. Nothing was written; let run(work) call it, or throw.");
            }
            return ending.value();
        }

        T afterRollback() throws Exception {
            if (thrown instanceof Error error) {
                throw error;
            }
            if (thrown instanceof Exception exception) {
                throw exception;
            }
            if (ending == null) {
                throw new IllegalStateException("rolled back for no reason");
            }
            return ending.value();
        }
    }

    /** Makes the user's transaction roll back; never leaves this class's {@code run}. */
    private static final class RollBack extends RuntimeException {
        private static final long serialVersionUID = 1;

        RollBack(@Nullable Throwable cause) {
            super("rolls back the inbox's transaction", cause, true, false);
        }
    }
}
