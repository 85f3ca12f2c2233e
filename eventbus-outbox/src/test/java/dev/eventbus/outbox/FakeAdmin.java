package dev.eventbus.outbox;

import java.lang.reflect.Proxy;
import java.util.Collection;
import java.util.Map;
import java.util.function.Supplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeTopicsResult;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;

/** A client that says of a topic what the test says, and that nobody answers who is asked for the cluster. */
final class FakeAdmin {

    private FakeAdmin() {}

    static Admin of(Supplier<KafkaFuture<TopicDescription>> answer) {
        return (Admin) Proxy.newProxyInstance(
                FakeAdmin.class.getClassLoader(),
                new Class<?>[] {Admin.class},
                (self, method, arguments) -> switch (method.getName()) {
                    case "describeTopics" -> {
                        Object topic = ((Collection<?>) arguments[0]).iterator().next();
                        yield new DescribeTopicsResult(null, Map.of(String.valueOf(topic), answer.get())) {};
                    }
                    case "close" -> null;
                    default -> throw new KafkaException("no broker answers");
                });
    }
}
