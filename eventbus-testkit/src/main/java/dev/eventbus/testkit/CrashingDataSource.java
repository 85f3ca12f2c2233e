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
import java.util.logging.Logger;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;

/**
 * A data source whose connections belong to the process that takes them: they tell where it can crash, and end with it. Thread-safe,
 * if the real one is.
 *
 * <p>Proxies of JDBC's interfaces, since a driver of a later Java may have more methods.
 */
final class CrashingDataSource implements DataSource {

    private final DataSource real;
    private final Crashes crashes;

    CrashingDataSource(DataSource real, Crashes crashes) {
        this.real = real;
        this.crashes = crashes;
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

    /** The statement that decides about an event: its mark is inserted, or that of a parked one or a dead letter becomes another. */
    private static boolean isDecision(Object @Nullable [] arguments) {
        String sql = arguments != null && arguments[0] instanceof String text ? text : "";
        return sql.contains("INSERT INTO") && sql.contains("eventbus_inbox")
                || sql.contains("eventbus_inbox SET outcome = ?");
    }

    /** A connection. One thread at a time. */
    private final class Session implements InvocationHandler {

        private final SimulatedProcess process;
        private final Connection connection;
        private final Runnable breakOff;
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
            boolean commits = name.equals("commit") && marked;
            if (commits) {
                crashes.reached(CrashPoint.AFTER_HANDLER, process);
            }
            Object result = CrashingDataSource.invoke(method, connection, arguments);
            marked &= !name.equals("commit") && !(name.equals("rollback") && arguments == null);
            if (commits) {
                crashes.reached(CrashPoint.AFTER_COMMIT, process);
            }
            return result instanceof PreparedStatement statement && isDecision(arguments)
                    ? proxy(PreparedStatement.class, (self, call, values) -> insert(statement, call, values))
                    : result;
        }

        private @Nullable Object insert(PreparedStatement statement, Method method, Object @Nullable [] values)
                throws Throwable {
            Object result = CrashingDataSource.invoke(method, statement, values);
            if (method.getName().startsWith("execute")) {
                marked = true;
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
