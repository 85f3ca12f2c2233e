package dev.eventbus.consumer.inbox;

import dev.eventbus.consumer.inbox.InboxSql.Insertion.Inserted;
import dev.eventbus.consumer.inbox.InboxTransactions.SessionWatch;
import dev.eventbus.internal.Fatal;
import dev.eventbus.internal.StatementPolicy;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.lang.reflect.UndeclaredThrowableException;
import java.sql.Array;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLClientInfoException;
import java.sql.SQLException;
import java.sql.SQLTransactionRollbackException;
import java.sql.Statement;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The connection that a handler gets: all of JDBC except what would end, weaken or outlive the transaction that also holds the
 * mark. Everything through which the real connection could be reached (statements, result sets, meta data, arrays) is handed out
 * behind the same guard. After {@link #end()} nothing works any more, and no statement once the database has rolled the transaction back:
 * it would run in another one, and what that commits has no mark.
 *
 * <p>Interface proxies rather than written-out classes: a JDBC driver of a later Java may have more methods, and each must pass.
 */
final class GuardedConnection {

    private static final String INVALID_TRANSACTION_TERMINATION = "2D000";
    private static final String FEATURE_NOT_SUPPORTED = "0A000";
    private static final String CONNECTION_DOES_NOT_EXIST = "08003";

    /** SQLSTATE of a transaction that was rolled back. */
    static final String ROLLED_BACK = "40000";

    /** Says PostgreSQL to whatever comes after a statement has failed. */
    private static final String IN_FAILED_TRANSACTION = "25P02";

    private static final Set<String> REFUSED_ON_CONNECTION = Set.of(
            "commit",
            "setAutoCommit",
            "setTransactionIsolation",
            "setReadOnly",
            "abort",
            "setNetworkTimeout",
            "beginRequest",
            "endRequest");

    /** What would stay with the connection when it goes back to its pool. */
    private static final Set<String> OUTLIVES_THE_TRANSACTION =
            Set.of("setSchema", "setCatalog", "setHoldability", "setClientInfo");

    /** Through objects of these types one gets to a connection. The most special first. */
    private static final List<Class<?>> DOORS = List.of(
            CallableStatement.class,
            PreparedStatement.class,
            Statement.class,
            ResultSet.class,
            DatabaseMetaData.class,
            Array.class);

    /** What runs a statement, or prepares to, by the beginning of its name. */
    private static final List<String> STATEMENTS =
            List.of("execute", "prepare", "addBatch", "insertRow", "updateRow", "deleteRow", "setSavepoint");

    /**
     * A transaction that holds marks, as it is lent to handlers.
     *
     * @param mark what was inserted first
     * @param watch told of what a handler may leave in the session
     */
    record Lent(Connection connection, InboxSql sql, Inserted mark, SessionWatch watch) {

        /**
         * Lends it to a handler for as long as that runs.
         *
         * @throws SQLTransactionRollbackException if the database has rolled it back and the handler has kept that to itself
         */
        void to(JdbcInbox.Work handler) throws Exception {
            GuardedConnection guarded = new GuardedConnection(this);
            try {
                handler.run(guarded.connection());
            } finally {
                guarded.end();
            }
            if (guarded.gone != null) {
                throw guarded.rolledBack("The handler kept that to itself, and failed all the same.");
            }
        }

        /**
         * Whether a handler has committed this transaction, and has failed since. One in which nothing can be asked is rolled back.
         *
         * @throws SQLException if the connection does not say
         */
        boolean wasCommitted(List<Mark> marks, Outcome outcome) throws SQLException {
            try {
                if (sql.seal(connection, mark)) {
                    return false;
                }
            } catch (SQLException e) {
                if (!IN_FAILED_TRANSACTION.equals(e.getSQLState())) {
                    throw e;
                }
                connection.rollback();
            }
            return hasCommitted(connection, marks, outcome);
        }

        /** As {@link #wasCommitted}, of a transaction that is over. */
        boolean hasCommitted(Connection asked, List<Mark> marks, Outcome outcome) throws SQLException {
            if (Boolean.FALSE.equals(sql.hasCommitted(asked, mark))) {
                return false; // if it has, the marks must be there: a server that crashed may have given its number
                // again
            }
            for (Mark one : marks) {
                InboxSql.Decision decision = sql.decision(asked, one);
                if (decision == null || decision.outcome() != outcome) {
                    return false; // they were committed together or not at all
                }
            }
            return true;
        }

        /** It is over before its time: a handler has committed it, or somebody has rolled it back. */
        Exception howItEnded(Mark of, Outcome outcome) {
            HandlerTransactionException committed = new HandlerTransactionException(of);
            try {
                if (!hasCommitted(connection, List.of(of), outcome)) {
                    return new SQLTransactionRollbackException(
                            "the transaction that was lent to an event handler was rolled back, and the handler kept that to itself; nothing of it is committed",
                            ROLLED_BACK);
                }
            } catch (SQLException e) {
                committed.addSuppressed(e); // unknown: what might be half done must not pass for handled
            }
            return committed;
        }

        /** What a handler has thrown; if it had committed before, that: its event must not be met as a repeat and nothing else. */
        Exception asItIs(Throwable thrown, Mark of, Outcome outcome) {
            Fatal.rethrow(thrown);
            try {
                if (wasCommitted(List.of(of), outcome)) {
                    HandlerTransactionException committed = new HandlerTransactionException(of);
                    committed.addSuppressed(thrown);
                    return committed;
                }
            } catch (SQLException e) { // unknown: the mark tells when it runs again
                InboxTransaction.suppress(e, thrown);
            }
            return unchanged(thrown);
        }

        /** To be thrown; an error is at once. */
        static Exception unchanged(Throwable thrown) {
            if (thrown instanceof Error error) {
                throw error;
            }
            return thrown instanceof Exception exception ? exception : new UndeclaredThrowableException(thrown);
        }
    }

    private final Connection real;
    private final Lent lent;
    private final Connection guarded;
    private volatile boolean ended;

    /** What has failed when the transaction was gone; null while it is there. */
    private volatile @Nullable SQLException gone;

    GuardedConnection(Lent lent) {
        this.real = lent.connection();
        this.lent = lent;
        this.guarded = (Connection) proxy(Connection.class, new Guard(real, null));
    }

    /** What the handler may have. */
    Connection connection() {
        return guarded;
    }

    /** The handler has returned: whoever kept the connection keeps nothing. */
    void end() {
        ended = true;
    }

    private SQLTransactionRollbackException rolledBack(String andNow) {
        SQLException because = Objects.requireNonNull(gone);
        return new SQLTransactionRollbackException(
                "the database rolled back the transaction that was lent to an event handler, and nothing of it is committed. "
                        + andNow,
                because.getSQLState(),
                because.getErrorCode(),
                because);
    }

    /** After a statement has failed: has its transaction gone with it? */
    private void failed(SQLException failure) {
        if (gone == null && lent.sql().ddlCommits()) {
            try {
                if (lent.sql().isGone(real, lent.mark(), failure)) {
                    gone = failure;
                }
            } catch (SQLException e) {
                failure.addSuppressed(e);
                gone = failure; // a connection that does not answer has no transaction
            }
        }
    }

    /** One real object behind its guard. */
    private final class Guard implements InvocationHandler {

        private final Object target;
        private final @Nullable Object parent;

        /** @param parent the guarded statement of a result set */
        private Guard(Object target, @Nullable Object parent) {
            this.target = target;
            this.parent = parent;
        }

        @Override
        public @Nullable Object invoke(Object proxy, Method method, Object @Nullable [] args) throws Throwable {
            String name = method.getName();
            if (method.getDeclaringClass() == Object.class) {
                return ofObject(proxy, name, args);
            }
            if (ended) {
                return afterTheEnd(name);
            }
            if (target == real) {
                if (name.equals("close")) {
                    return null;
                }
                refuseEnding(name, args);
            }
            switch (name) {
                case "getConnection" -> {
                    return guarded;
                }
                case "unwrap" -> {
                    return unwrapped(proxy, args);
                }
                case "isWrapperFor" -> {
                    return args != null && ((Class<?>) args[0]).isInstance(proxy);
                }
                default -> {
                    if (gone != null && STATEMENTS.stream().anyMatch(name::startsWith)) {
                        throw rolledBack(name + " refused: it would run in another one. Throw what the database said.");
                    }
                    refuseStatement(name, args);
                    return guard(call(method, args), proxy);
                }
            }
        }

        private Object ofObject(Object proxy, String name, Object @Nullable [] args) {
            return switch (name) {
                case "equals" -> args != null && proxy == args[0];
                case "hashCode" -> System.identityHashCode(proxy);
                default -> "guarded " + target.getClass().getSimpleName();
            };
        }

        private @Nullable Object afterTheEnd(String name) throws SQLException {
            return switch (name) {
                case "close", "free" -> null; // its statements are closed with the real connection's transaction
                case "isClosed" -> true;
                case "isValid" -> false;
                default ->
                    throw new SQLException(
                            name
                                    + " refused: this connection was lent to an event handler and used after the handler had"
                                    + " returned. Nothing was executed. Finish all database work before the handler returns.",
                            CONNECTION_DOES_NOT_EXIST);
            };
        }

        private void refuseEnding(String name, Object @Nullable [] args) throws Throwable {
            boolean wholeRollback = name.equals("rollback") && (args == null || args.length == 0);
            if (wholeRollback || REFUSED_ON_CONNECTION.contains(name)) {
                throw notYours(name);
            }
            if (OUTLIVES_THE_TRANSACTION.contains(name)) {
                throw outliving(name);
            }
        }

        private void refuseStatement(String name, Object @Nullable [] args) throws SQLException {
            boolean takesSql = name.startsWith("execute") || name.startsWith("prepare") || name.equals("addBatch");
            if (takesSql && args != null && args.length > 0 && args[0] instanceof String sql) {
                StatementPolicy.Verdict verdict =
                        StatementPolicy.of(sql, lent.sql().ddlCommits());
                String refused = verdict.refused();
                if (refused != null) {
                    throw notYours(refused);
                }
                if (verdict.leavesSomething() && !lent.watch().leaves()) {
                    throw new SQLException(outlives("A setting of the session was"), FEATURE_NOT_SUPPORTED);
                }
            }
        }

        private SQLException notYours(String what) {
            return new SQLException(
                    what
                            + " refused: this connection was lent to an event handler; the library ends its transaction, with the"
                            + " handler's effect and the mark of the event together. Nothing was executed. Throw an exception to"
                            + " roll back, return to commit; rollback(Savepoint) is allowed.",
                    INVALID_TRANSACTION_TERMINATION);
        }

        private Throwable outliving(String name) {
            String text = outlives(name);
            return name.equals("setClientInfo")
                    ? new SQLClientInfoException(text, FEATURE_NOT_SUPPORTED, Map.of())
                    : new SQLException(text, FEATURE_NOT_SUPPORTED);
        }

        private String outlives(String what) {
            return what
                    + " refused: this connection goes back to its pool after the handler, and the setting would meet whoever is next."
                    + " Nothing was changed. Use SET LOCAL, which ends with the transaction, or qualified names.";
        }

        private Object unwrapped(Object proxy, Object @Nullable [] args) throws SQLException {
            Class<?> wanted = args == null ? Connection.class : (Class<?>) args[0];
            if (wanted.isInstance(proxy)) {
                return proxy;
            }
            throw new SQLException(
                    "unwrap to %s refused: what lies under an event handler's connection could commit behind the library's back."
                                    .formatted(wanted.getName())
                            + " Use plain JDBC, or do this work on a connection of your own outside the handler's transaction.",
                    FEATURE_NOT_SUPPORTED);
        }

        private @Nullable Object call(Method method, Object @Nullable [] args) throws Throwable {
            try {
                return method.invoke(target, real(args));
            } catch (InvocationTargetException e) {
                if (e.getCause() instanceof SQLException failure) {
                    failed(failure);
                }
                throw e.getCause() == null ? e : e.getCause();
            }
        }

        private @Nullable Object guard(@Nullable Object result, Object proxy) {
            if (result instanceof Connection) {
                return guarded;
            }
            if (parent instanceof Statement && isBehind(parent, result)) {
                return parent;
            }
            for (Class<?> door : DOORS) {
                if (door.isInstance(result)) {
                    return proxy(door, new Guard(result, proxy));
                }
            }
            return result;
        }
    }

    private static boolean isBehind(Object guarded, @Nullable Object candidate) {
        return Proxy.getInvocationHandler(guarded) instanceof Guard guard && guard.target == candidate;
    }

    /** Drivers know only their own arrays: a guarded argument goes in as what is behind it. */
    private static @Nullable Object @Nullable [] real(@Nullable Object @Nullable [] args) {
        if (args == null) {
            return null;
        }
        @Nullable Object[] real = args.clone();
        for (int i = 0; i < real.length; i++) {
            Object arg = real[i];
            if (arg != null
                    && Proxy.isProxyClass(arg.getClass())
                    && Proxy.getInvocationHandler(arg) instanceof Guard guard) {
                real[i] = guard.target;
            }
        }
        return real;
    }

    private static Object proxy(Class<?> type, InvocationHandler handler) {
        return Proxy.newProxyInstance(GuardedConnection.class.getClassLoader(), new Class<?>[] {type}, handler);
    }
}
