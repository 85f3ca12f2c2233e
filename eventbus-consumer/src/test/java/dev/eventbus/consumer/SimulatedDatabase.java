package dev.eventbus.consumer;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.consumer.SimulatedGroup.Member;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The database of a simulated group: what the inbox's statements for H2 do to marks and attempts, and a table of effects. Each sees what
 * is committed and what it has written itself; a mark that another transaction has inserted is not waited for. Nothing is ever parked.
 * All in one thread.
 */
final class SimulatedDatabase {

    static final String EFFECT = "INSERT INTO effect VALUES (?)";

    private static final String DUPLICATE = "23505";
    private static final String LOCKED = "HYT00";
    private static final String GONE = "08006";

    /** The decided outcome of an event, and the hash of its payload. */
    @SuppressWarnings("ArrayRecordComponent") // nobody compares them
    record Mark(String outcome, byte[] hash) {}

    /** What happens around a commit. */
    interface Hook {

        /** What has been written is complete. */
        void beforeCommit(Transaction transaction);

        /** Effects, and nothing else that is asked for, are about to be there. */
        void commits(List<String> effects);

        /** It is committed, and nobody knows yet; false if the answer is lost. */
        boolean answers(Transaction transaction);
    }

    /** One transaction of one process. */
    static final class Transaction {
        final Member owner;
        final List<String> effects = new ArrayList<>();
        private final Map<String, Mark> marks = new LinkedHashMap<>();
        private final Map<String, int @Nullable []> attempts = new HashMap<>();
        private final int id;
        private boolean over;

        Transaction(Member owner, int id) {
            this.owner = owner;
            this.id = id;
        }
    }

    final Map<String, Mark> marks = new HashMap<>();
    final Set<String> effects = new LinkedHashSet<>();
    private final Map<String, int[]> attempts = new HashMap<>();
    private final List<Transaction> open = new ArrayList<>();
    private final Hook hook;
    private int transactions;

    SimulatedDatabase(Hook hook) {
        this.hook = hook;
    }

    /** Commits if the work returns. */
    void run(Member owner, Consumer<Connection> work) {
        owner.mustLive();
        Transaction transaction = new Transaction(owner, ++transactions);
        open.add(transaction);
        try {
            work.accept(connection(transaction));
            hook.beforeCommit(transaction);
            commit(transaction);
        } finally {
            open.remove(transaction);
        }
        if (!hook.answers(transaction)) {
            throw new IllegalStateException("nobody knows", new SQLException("no answer", GONE));
        }
    }

    private void commit(Transaction transaction) {
        if (transaction.over) {
            throw new IllegalStateException("not committed", new SQLException("the session has ended", GONE));
        }
        hook.commits(transaction.effects);
        effects.addAll(transaction.effects);
        marks.putAll(transaction.marks);
        transaction.attempts.forEach((event, noted) -> {
            if (noted == null) {
                attempts.remove(event);
            } else {
                attempts.put(event, noted);
            }
        });
    }

    /** The database notices that a process is gone. */
    void isGone(Member member) {
        open.forEach(transaction -> transaction.over |= transaction.owner == member);
        open.removeIf(transaction -> transaction.over);
    }

    /** What has been open for longest is ended for its silence, as an idle limit does it. */
    void endOldest() {
        if (!open.isEmpty()) {
            open.remove(0).over = true;
        }
    }

    // ---- statements

    private List<Object[]> execute(Transaction in, String sql, Map<Integer, Object> bound) throws SQLException {
        if (in.over) {
            throw new SQLException("the session has ended", GONE);
        }
        if (sql.startsWith("INSERT INTO eventbus_inbox")) {
            insertMark(in, text(bound, 2), new Mark((String) value(bound, 3), (byte[]) value(bound, 4)));
        } else if (sql.startsWith("SELECT outcome, payload_hash FROM eventbus_inbox")) {
            Mark mark = in.marks.getOrDefault(text(bound, 2), marks.get(text(bound, 2)));
            return mark == null ? List.of() : List.<Object[]>of(new Object[] {mark.outcome(), mark.hash()});
        } else if (sql.startsWith("UPDATE eventbus_inbox SET outcome = 'DEAD'")) {
            Mark mark = marks.get(text(bound, 2));
            if (mark != null && mark.outcome().equals("DYING")) {
                in.marks.put(text(bound, 2), new Mark("DEAD", mark.hash()));
            }
        } else if (sql.contains("eventbus_attempt")) {
            return attempts(in, sql, bound);
        } else if (sql.equals(EFFECT)) {
            in.effects.add((String) value(bound, 1));
        } else if (sql.startsWith("SELECT TRANSACTION_ID()")) {
            return List.<Object[]>of(new Object[] {"" + in.id});
        } else if (sql.startsWith("SELECT LOCK_TIMEOUT()")) {
            return List.<Object[]>of(new Object[] {1});
        } else if (!sql.startsWith("SET LOCK_TIMEOUT ")
                && !(sql.startsWith("SELECT ") && sql.contains("eventbus_parked_key"))) {
            throw new IllegalArgumentException("what does this do? " + sql);
        }
        return List.of();
    }

    private void insertMark(Transaction in, String event, Mark mark) throws SQLException {
        if (marks.containsKey(event) || in.marks.containsKey(event)) {
            throw new SQLException("it is there", DUPLICATE);
        }
        if (open.stream().anyMatch(other -> other != in && other.marks.containsKey(event))) {
            throw new SQLException("somebody has it", LOCKED, 50_200);
        }
        in.marks.put(event, mark);
    }

    private List<Object[]> attempts(Transaction in, String sql, Map<Integer, Object> bound) {
        if (sql.startsWith("SELECT failures, starts")) {
            String event = text(bound, 2);
            int[] noted = in.attempts.containsKey(event) ? in.attempts.get(event) : attempts.get(event);
            return noted == null ? List.of() : List.<Object[]>of(new Object[] {noted[0], noted[1]});
        }
        if (sql.startsWith("INSERT")) {
            in.attempts.put(text(bound, 2), new int[] {(int) value(bound, 3), (int) value(bound, 4)});
        } else if (sql.startsWith("UPDATE")) {
            in.attempts.put(text(bound, 4), new int[] {(int) value(bound, 1), (int) value(bound, 2)});
        } else {
            in.attempts.put(text(bound, 2), null);
        }
        return List.of();
    }

    private static String text(Map<Integer, Object> bound, int parameter) {
        return new String((byte[]) value(bound, parameter), UTF_8);
    }

    private static Object value(Map<Integer, Object> bound, int parameter) {
        return Objects.requireNonNull(bound.get(parameter));
    }

    // ---- JDBC

    private interface Call {
        @Nullable
        Object of(String method, Object[] arguments) throws Throwable;
    }

    private static <T> T proxy(Class<T> type, Call call) {
        return type.cast(Proxy.newProxyInstance(
                SimulatedDatabase.class.getClassLoader(),
                new Class<?>[] {type},
                (proxy, method, arguments) ->
                        call.of(method.getName(), arguments == null ? new Object[0] : arguments)));
    }

    private Connection connection(Transaction transaction) {
        return proxy(Connection.class, (method, arguments) -> switch (method) {
            case "getAutoCommit" -> false;
            case "prepareStatement" -> prepared(transaction, (String) arguments[0]);
            case "createStatement" ->
                proxy(Statement.class, (call, sql) -> {
                    if (!call.equals("close")) {
                        execute(transaction, (String) sql[0], Map.of());
                    }
                    return call.equals("execute") ? false : null;
                });
            default -> throw new UnsupportedOperationException(method);
        });
    }

    private PreparedStatement prepared(Transaction transaction, String sql) {
        Map<Integer, Object> bound = new HashMap<>();
        return proxy(PreparedStatement.class, (method, arguments) -> switch (method) {
            case "executeUpdate" -> {
                execute(transaction, sql, bound);
                yield 1;
            }
            case "executeQuery" -> rows(execute(transaction, sql, bound));
            case "close" -> null;
            default -> bound.put((Integer) arguments[0], arguments[1]);
        });
    }

    private static ResultSet rows(List<Object[]> rows) {
        int[] at = {-1};
        return proxy(ResultSet.class, (method, arguments) -> switch (method) {
            case "next" -> ++at[0] < rows.size();
            case "close" -> null;
            default -> rows.get(at[0])[(int) arguments[0] - 1];
        });
    }
}
