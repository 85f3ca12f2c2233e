package dev.eventbus.it;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import javax.sql.DataSource;

/** What PostgreSQL has denied through a data source, in its own words, whatever became of it above. */
final class Denials {

    private static final String INSUFFICIENT_PRIVILEGE = "42501";

    private final Queue<String> heard = new ConcurrentLinkedQueue<>();

    /** A data source that is listened to. */
    DataSource of(DataSource real) {
        return watched(DataSource.class, real);
    }

    Queue<String> heard() {
        return heard;
    }

    private <T> T watched(Class<T> type, Object real) {
        InvocationHandler listens = (proxy, method, arguments) -> {
            try {
                Object result = method.invoke(real, arguments);
                if (result instanceof Connection && method.getReturnType() == Connection.class) {
                    return watched(Connection.class, result);
                }
                if (result instanceof PreparedStatement) {
                    return watched(PreparedStatement.class, result);
                }
                return result instanceof Statement ? watched(Statement.class, result) : result;
            } catch (InvocationTargetException e) {
                if (e.getCause() instanceof SQLException denied
                        && INSUFFICIENT_PRIVILEGE.equals(denied.getSQLState())) {
                    heard.add(String.valueOf(denied.getMessage()));
                }
                throw e.getCause() == null ? e : e.getCause();
            }
        };
        return type.cast(Proxy.newProxyInstance(Denials.class.getClassLoader(), new Class<?>[] {type}, listens));
    }
}
