package dev.eventbus.faults.crash;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import org.jspecify.annotations.Nullable;

/** Puts something before each method of an edge: a JDBC interface, a Kafka client, a cluster. */
public final class Decorator {

    /** What a call does instead; it mostly ends in {@code method.invoke(real, arguments)}. */
    @FunctionalInterface
    public interface Call {
        @Nullable
        Object of(Method method, Object[] arguments) throws Exception;
    }

    private Decorator() {}

    /** An object of the interface. What the real method throws comes out unchanged. */
    public static <T> T of(Class<T> type, Call call) {
        return type.cast(Proxy.newProxyInstance(
                type.getClassLoader(), new Class<?>[] {type}, (proxy, method, arguments) -> {
                    try {
                        return call.of(method, arguments == null ? new Object[0] : arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                }));
    }
}
