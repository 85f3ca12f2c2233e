package dev.eventbus.testkit;

import dev.eventbus.testkit.Crashes.SimulatedProcess;
import java.io.PrintWriter;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.SQLFeatureNotSupportedException;
import java.sql.SQLNonTransientConnectionException;
import java.util.Objects;
import java.util.logging.Logger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;

/**
 * A data source whose connections belong to the process that takes them: they tell where it can crash, break where the test asked for
 * it, and end with it. Thread-safe, if the real one is.
 *
 * <p>Proxies of JDBC's interfaces, since a driver of a later Java may have more methods.
 */
final class CrashingDataSource implements DataSource {

    /** What a driver says when the server is gone; X/Open class 08. */
    private static final String CONNECTION_FAILURE = "08006";

    /** Marks that are purged are those of nobody's event. */
    private static final Pattern WRITTEN_TABLE =
            Pattern.compile("(?:INSERT INTO|UPDATE) \\S*eventbus_(inbox|parked_key|parked_event)\\b"
                    + "|DELETE FROM \\S*eventbus_(parked_key|parked_event)\\b");

    private final DataSource real;
    private final Crashes crashes;
    private final FaultPlan faults;

    CrashingDataSource(DataSource real, Crashes crashes, FaultPlan faults) {
        this.real = real;
        this.crashes = crashes;
        this.faults = faults;
    }

    @Override
    public Connection getConnection() throws SQLException {
        SimulatedProcess process = crashes.running();
        if (process == null) {
            return real.getConnection();
        }
        process.checkAlive();
        return of(process, real.getConnection());
    }

    @Override
    public Connection getConnection(String user, String password) throws SQLException {
        SimulatedProcess process = crashes.running();
        if (process == null) {
            return real.getConnection(user, password);
        }
        process.checkAlive();
        return of(process, real.getConnection(user, password));
    }

    private Connection of(SimulatedProcess process, Connection connection) {
        Session session = new Session(process, connection);
        process.atDeath(session.breakOff);
        return proxy(Connection.class, session);
    }

    /** What the database does when a client is gone. */
    private static void breakOff(Connection connection) {
        try (connection) {
            if (!connection.isClosed() && !connection.getAutoCommit()) {
                connection.rollback();
            }
        } catch (SQLException e) {
            throw new IllegalStateException("a connection of a process that has crashed could not be closed", e);
        }
    }

    private static <T> T proxy(Class<T> type, InvocationHandler handler) {
        return type.cast(
                Proxy.newProxyInstance(CrashingDataSource.class.getClassLoader(), new Class<?>[] {type}, handler));
    }

    private static @Nullable Object invoke(Method method, Object on, Object @Nullable [] arguments) throws Throwable {
        try {
            return method.invoke(on, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause() == null ? e : e.getCause();
        }
    }

    /** What a statement does to the rows that say what became of events. */
    private enum Writes {
        NOTHING,
        MARK,
        PARKED_ROW;

        static Writes of(Object @Nullable [] arguments) {
            String sql = arguments != null && arguments[0] instanceof String text ? text : "";
            Matcher written = WRITTEN_TABLE.matcher(sql);
            if (!written.find()) {
                return NOTHING;
            }
            return "inbox".equals(written.group(1)) ? MARK : PARKED_ROW;
        }
    }

    /** A connection. One thread at a time. */
    private final class Session implements InvocationHandler {

        private final SimulatedProcess process;
        private final Connection connection;
        private final Runnable breakOff;

        /** Whether its transaction tells what became of an event. */
        private boolean marked;

        Session(SimulatedProcess process, Connection connection) {
            this.process = process;
            this.connection = connection;
            this.breakOff = () -> CrashingDataSource.breakOff(connection);
        }

        @Override
        public @Nullable Object invoke(Object proxy, Method method, Object @Nullable [] arguments) throws Throwable {
            String name = method.getName();
            switch (name) {
                case "equals" -> {
                    return arguments != null && proxy == arguments[0];
                }
                case "hashCode" -> {
                    return System.identityHashCode(proxy);
                }
                case "close" -> {
                    if (process.isDead()) {
                        return null; // it was closed when it died
                    }
                    process.noLongerAtDeath(breakOff);
                }
                default -> process.checkAlive();
            }
            if (name.equals("commit") && marked) {
                marked = false;
                commit();
                return null;
            }
            Object result = CrashingDataSource.invoke(method, connection, arguments);
            marked &= !(name.equals("rollback") && arguments == null);
            Writes writes = Writes.of(arguments);
            return result instanceof PreparedStatement statement && writes != Writes.NOTHING
                    ? proxy(PreparedStatement.class, (self, call, values) -> write(writes, statement, call, values))
                    : result;
        }

        /** The end of what is told of an event. */
        private void commit() throws SQLException {
            crashes.reached(CrashPoint.AFTER_HANDLER, process);
            if (faults.takes(FaultPlan.Call.DATABASE_COMMIT, FaultPlan.THE_ONE)) {
                throw broken("before this COMMIT");
            }
            connection.commit();
            crashes.reached(CrashPoint.AFTER_COMMIT, process);
            if (faults.takes(FaultPlan.Call.DATABASE_COMMIT_ANSWER, FaultPlan.THE_ONE)) {
                throw broken("after this COMMIT");
            }
        }

        private SQLException broken(String when) {
            process.noLongerAtDeath(breakOff);
            breakOff.run();
            return new SQLNonTransientConnectionException(
                    "the connection broke %s because the test asked for it".formatted(when), CONNECTION_FAILURE);
        }

        private @Nullable Object write(
                Writes writes, PreparedStatement statement, Method method, Object @Nullable [] values)
                throws Throwable {
            Object result = CrashingDataSource.invoke(method, statement, values);
            boolean wrote = method.getName().startsWith("execute") && !Objects.equals(result, 0);
            marked |= wrote;
            if (wrote && writes == Writes.MARK) {
                crashes.reached(CrashPoint.AFTER_INBOX_INSERT, process);
            }
            return result;
        }
    }

    // ---- the rest is the real one's

    @Override
    public @Nullable PrintWriter getLogWriter() throws SQLException {
        return real.getLogWriter();
    }

    @Override
    public void setLogWriter(@Nullable PrintWriter out) throws SQLException {
        real.setLogWriter(out);
    }

    @Override
    public void setLoginTimeout(int seconds) throws SQLException {
        real.setLoginTimeout(seconds);
    }

    @Override
    public int getLoginTimeout() throws SQLException {
        return real.getLoginTimeout();
    }

    @Override
    public Logger getParentLogger() throws SQLFeatureNotSupportedException {
        return real.getParentLogger();
    }

    @Override
    public <T> T unwrap(Class<T> type) throws SQLException {
        return real.unwrap(type);
    }

    @Override
    public boolean isWrapperFor(Class<?> type) throws SQLException {
        return real.isWrapperFor(type);
    }
}
