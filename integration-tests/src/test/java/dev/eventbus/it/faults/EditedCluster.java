package dev.eventbus.it.faults;

import dev.eventbus.topics.KafkaCluster;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.jspecify.annotations.Nullable;

/** A real cluster whose producers get other settings, or other records, than the library gives them. */
final class EditedCluster {

    private EditedCluster() {}

    /** Producers with other settings. */
    static KafkaCluster withSettings(KafkaCluster kafka, Map<String, Object> settings) {
        return producing(kafka, asGiven -> {
            Map<String, Object> edited = new HashMap<>(asGiven);
            edited.putAll(settings);
            return kafka.producer(edited);
        });
    }

    /** Producers that send other records. */
    static KafkaCluster withRecords(KafkaCluster kafka, UnaryOperator<ProducerRecord<byte[], byte[]>> edit) {
        return producing(kafka, settings -> {
            Producer<byte[], byte[]> producer = kafka.producer(settings);
            return proxy(Producer.class, (method, arguments) -> {
                if (method.getName().equals("send") && arguments != null) {
                    arguments[0] = edit.apply(record(arguments[0]));
                }
                return method.invoke(producer, arguments);
            });
        });
    }

    @SuppressWarnings("unchecked") // the relay's producers have no other
    private static ProducerRecord<byte[], byte[]> record(Object argument) {
        return (ProducerRecord<byte[], byte[]>) argument;
    }

    private interface Maker {
        Producer<?, ?> producer(Map<String, Object> settings);
    }

    @SuppressWarnings("unchecked") // the relay gives no other
    private static KafkaCluster producing(KafkaCluster kafka, Maker maker) {
        return proxy(
                KafkaCluster.class,
                (method, arguments) -> method.getName().equals("producer") && arguments != null
                        ? maker.producer((Map<String, Object>) arguments[0])
                        : method.invoke(kafka, arguments));
    }

    private interface Call {
        @Nullable
        Object answer(Method method, Object @Nullable [] arguments) throws ReflectiveOperationException;
    }

    private static <T> T proxy(Class<T> type, Call call) {
        return type.cast(Proxy.newProxyInstance(
                type.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
                    try {
                        return call.answer(method, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                }));
    }
}
