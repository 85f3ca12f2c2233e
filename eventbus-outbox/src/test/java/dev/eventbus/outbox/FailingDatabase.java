package dev.eventbus.outbox;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import javax.sql.DataSource;

/** A data source that lends so many connections and is gone then, and whose connections cannot roll back if the test says so. */
final class FailingDatabase {

    private final DataSource real;
    private int lends = Integer.MAX_VALUE;
    private boolean rollsBack = true;

    FailingDatabase(DataSource real) {
        this.real = real;
    }

    FailingDatabase lends(int connections) {
        this.lends = connections;
        return this;
    }

    FailingDatabase withoutRollback() {
        this.rollsBack = false;
        return this;
    }

    DataSource dataSource() {
        return proxy(DataSource.class, real);
    }

    private <T> T proxy(Class<T> type, T target) {
        return type.cast(Proxy.newProxyInstance(
                FailingDatabase.class.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
                    if (method.getName().equals("getConnection") && --lends < 0) {
                        throw new SQLException("the database is gone", "08006");
                    }
                    if (method.getName().equals("rollback") && !rollsBack) {
                        throw new SQLException("no rollback", "08003");
                    }
                    try {
                        Object result = method.invoke(target, arguments);
                        return result instanceof Connection connection ? proxy(Connection.class, connection) : result;
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                }));
    }
}
