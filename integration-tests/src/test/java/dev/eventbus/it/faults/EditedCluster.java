package dev.eventbus.it.faults;

import dev.eventbus.faults.crash.Decorator;
import dev.eventbus.topics.KafkaCluster;
import java.util.HashMap;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;

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
            return Decorator.of(Producer.class, (method, arguments) -> {
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
        return Decorator.of(
                KafkaCluster.class,
                (method, arguments) -> method.getName().equals("producer") && arguments.length > 0
                        ? maker.producer((Map<String, Object>) arguments[0])
                        : method.invoke(kafka, arguments));
    }
}
