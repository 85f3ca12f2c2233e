package dev.eventbus.it.inbox;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;

/** A real data source with something between it and its user: faults, a pool of one, a look at what is called. */
public final class HookedDataSource {

    /** Stands between. */
    @FunctionalInterface
    public interface Hook {
        @Nullable
        Object call(Connection real, String method, Object[] arguments, Rest rest) throws Throwable;
    }

    /** The real call. */
    @FunctionalInterface
    public interface Rest {
        @Nullable
        Object call() throws Throwable;
    }

    private HookedDataSource() {}

    public static DataSource over(DataSource real, Hook hook) {
        return proxy(DataSource.class, (method, arguments) -> {
            Object result = invoke(real, method, arguments);
            return result instanceof Connection connection ? hooked(connection, hook) : result;
        });
    }

    /** A pool of one: the same connection again and again, never closed. */
    static DataSource poolOf(Connection one) {
        Connection lent = hooked(one, (real, method, arguments, rest) -> method.equals("close") ? null : rest.call());
        return proxy(DataSource.class, (method, arguments) -> lent);
    }

    private static Connection hooked(Connection real, Hook hook) {
        return proxy(
                Connection.class,
                (method, arguments) ->
                        hook.call(real, method.getName(), arguments, () -> invoke(real, method, arguments)));
    }

    private interface Call {
        @Nullable
        Object of(Method method, Object[] arguments) throws Throwable;
    }

    private static <T> T proxy(Class<T> type, Call call) {
        return type.cast(Proxy.newProxyInstance(
                HookedDataSource.class.getClassLoader(),
                new Class<?>[] {type},
                (proxy, method, arguments) -> call.of(method, arguments == null ? new Object[0] : arguments)));
    }

    private static @Nullable Object invoke(Object target, Method method, Object[] arguments) throws Throwable {
        try {
            return method.invoke(target, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause() == null ? e : e.getCause();
        }
    }
}
