package dev.eventbus.benchmarks;

import java.util.Map;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.listener.ConcurrentMessageListenerContainer;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.kafka.listener.MessageListener;
import org.springframework.kafka.support.ExponentialBackOffWithMaxRetries;

/**
 * spring-kafka: a listener container with three threads, each with its own consumer, that calls the listener for one record after
 * the other and commits after each poll. A failed record is tried again as ours is: three times more, after 200 ms, 400 ms, 800 ms.
 */
final class SpringConsumer implements Consuming {

    private static final int THREADS = 3;
    private static final int RETRIES = 3;
    private static final long FIRST_MILLIS = 200;

    private final String name;

    SpringConsumer(String name) {
        this.name = name;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public boolean isPeer() {
        return true;
    }

    @Override
    public Running start(Servers servers, Backlog backlog, String group, Handler handler) {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers",
                servers.bootstrapServers(),
                "group.id",
                group,
                "auto.offset.reset",
                "earliest",
                "isolation.level",
                "read_committed");
        ContainerProperties properties = new ContainerProperties(backlog.topic());
        properties.setMessageListener((MessageListener<byte[], byte[]>) record -> {
            try {
                handler.handle(SampleEvents.numberOf(record.value()));
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
        ConcurrentMessageListenerContainer<byte[], byte[]> container = new ConcurrentMessageListenerContainer<>(
                new DefaultKafkaConsumerFactory<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer()),
                properties);
        container.setConcurrency(THREADS);
        container.setCommonErrorHandler(new DefaultErrorHandler((record, e) -> {}, backOff()));
        container.start();
        return container::stop;
    }

    private static ExponentialBackOffWithMaxRetries backOff() {
        ExponentialBackOffWithMaxRetries backOff = new ExponentialBackOffWithMaxRetries(RETRIES);
        backOff.setInitialInterval(FIRST_MILLIS);
        backOff.setMultiplier(2);
        return backOff;
    }
}
