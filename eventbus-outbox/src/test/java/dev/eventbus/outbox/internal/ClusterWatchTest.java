package dev.eventbus.outbox.internal;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.topics.KafkaCluster;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.KafkaException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class ClusterWatchTest {

    private final CountDownLatch closing = new CountDownLatch(1);
    private final CountDownLatch resolved = new CountDownLatch(1);
    private final AtomicLong nanos = new AtomicLong();

    /** Kafka's client waits for its own thread as long as that waits for a name server, whatever limit it is closed with. */
    private final Admin admin = (Admin) Proxy.newProxyInstance(
            getClass().getClassLoader(), new Class<?>[] {Admin.class}, (proxy, method, arguments) -> {
                if (method.getName().equals("close")) {
                    closing.countDown();
                    resolved.await();
                    return null;
                }
                throw new KafkaException("no name server");
            });

    private final KafkaCluster kafka = (KafkaCluster) Proxy.newProxyInstance(
            getClass().getClassLoader(),
            new Class<?>[] {KafkaCluster.class},
            (proxy, method, arguments) -> switch (method.getName()) {
                case "admin" -> admin;
                case "name" -> "kafka-events";
                case "bootstrapServers" -> "broker-1:9092";
                case "setting" -> arguments[1];
                default -> throw new UnsupportedOperationException(method.getName());
            });

    @Test
    @Timeout(30)
    void a_client_that_cannot_be_closed_holds_up_no_round() throws InterruptedException {
        ClusterWatch watch = new ClusterWatch(kafka, nanos::get);
        while (watch.problem().isEmpty()) {
            nanos.addAndGet(Duration.ofSeconds(4).toNanos());
            watch.look(true);
            LockSupport.parkNanos(1_000_000);
        }
        assertThat(watch.problem())
                .hasValueSatisfying(problem -> assertThat(problem).contains("kafka-events", "KafkaException"));
        assertThat(closing.await(20, TimeUnit.SECONDS)).isTrue();
        watch.look(true);
        watch.close();
        resolved.countDown();
    }
}
