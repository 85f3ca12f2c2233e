package dev.eventbus.topics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.StartRefusedException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeConfigsResult;
import org.apache.kafka.clients.admin.DescribeTopicsResult;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.internals.KafkaFutureImpl;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What is applied to a topic that somebody else changes meanwhile, or beside one that is refused; a broker's answers are made up. */
class TopicsTest {

    private static final TopicSpec SPEC = TopicSpec.of("t", 1).retention(Duration.ofHours(24));

    /** Is not there, and this user may not create it. */
    private static final TopicSpec REFUSED = TopicSpec.of("refused", 1).retention(Duration.ofHours(24));

    /** What the topic has for retention.ms, answer by answer; the last one stays. */
    private final Deque<String> retentions = new ArrayDeque<>();

    private final List<String> changes = new ArrayList<>();

    @Test
    void a_retention_that_somebody_lengthens_after_the_plan_is_not_shortened() {
        retentions.addAll(List.of("3600000", "3600000", "172800000"));

        assertThat(Topics.of(cluster(), SPEC).apply()).isEmpty();

        assertThat(changes).isEmpty();
        assertThat(retentions).as("it was looked at again").containsExactly("172800000");
    }

    @Test
    void a_topic_that_is_refused_keeps_no_other_from_being_mended_and_is_told_before_what_fails_then() {
        retentions.add("3600000");

        assertThatExceptionOfType(KafkaAccessException.class)
                .isThrownBy(() -> Topics.of(cluster(), SPEC, REFUSED).apply())
                .withMessageContaining("does not let this user do that with topic 'refused'")
                .satisfies(refusal -> {
                    assertThat(refusal.code()).isEqualTo(ErrorCode.NOT_AUTHORIZED);
                    assertThat(refusal.getSuppressed())
                            .hasSize(1)
                            .hasOnlyElementsOfType(UnsupportedOperationException.class);
                });

        assertThat(changes).as("it was tried to mend the other").containsExactly("incrementalAlterConfigs");
    }

    @Test
    void a_service_that_requires_its_topics_is_refused_with_the_exact_fix_and_nothing_is_changed() {
        retentions.add("3600000");
        Topics topics = Topics.of(cluster(), SPEC);

        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(topics::requireAsSpecified)
                .withMessageContaining(topics.plan().get(0).text())
                .withMessageContaining("--add-config retention.ms=86400000")
                .satisfies(refusal -> assertThat(refusal.code()).isEqualTo(ErrorCode.TOPICS_DIFFER));
        retentions.clear();
        retentions.add("86400000");
        assertThatCode(topics::requireAsSpecified).doesNotThrowAnyException();
        assertThat(changes).isEmpty();
    }

    private KafkaCluster cluster() {
        KafkaCluster kafka = KafkaCluster.at("a:1");
        Admin admin = proxy(Admin.class, (method, arguments) -> answer(method.getName()));
        return proxy(
                KafkaCluster.class,
                (method, arguments) -> method.getName().equals("admin") ? admin : method.invoke(kafka, arguments));
    }

    private @Nullable Object answer(String call) {
        return switch (call) {
            case "describeTopics" -> new Topic();
            case "describeConfigs" -> new Settings(retentions.size() > 1 ? retentions.remove() : retentions.element());
            case "createTopics" -> new Creation();
            case "close" -> null;
            default -> {
                changes.add(call);
                throw new UnsupportedOperationException(call);
            }
        };
    }

    private static final class Topic extends DescribeTopicsResult {
        Topic() {
            super(
                    null,
                    Map.of(
                            "t",
                            KafkaFuture.completedFuture(description()),
                            "refused",
                            failed(new UnknownTopicOrPartitionException())));
        }

        private static TopicDescription description() {
            Node node = new Node(1, "a", 1);
            List<Node> replicas = List.of(node, node, node);
            return new TopicDescription("t", false, List.of(new TopicPartitionInfo(0, node, replicas, replicas)));
        }
    }

    private static final class Creation extends CreateTopicsResult {
        Creation() {
            super(Map.of("refused", failed(new TopicAuthorizationException("refused"))));
        }
    }

    private static <T> KafkaFuture<T> failed(Exception failure) {
        KafkaFutureImpl<T> future = new KafkaFutureImpl<>();
        future.completeExceptionally(failure);
        return future;
    }

    private static final class Settings extends DescribeConfigsResult {
        Settings(String retention) {
            super(Map.of(
                    new ConfigResource(ConfigResource.Type.TOPIC, "t"),
                    KafkaFuture.completedFuture(config(retention))));
        }

        private static Config config(String retention) {
            Map<String, String> settings = new TreeMap<>(SPEC.settings());
            settings.put("retention.ms", retention);
            return new Config(settings.entrySet().stream()
                    .map(setting -> new ConfigEntry(
                            setting.getKey(),
                            setting.getValue(),
                            ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG,
                            false,
                            false,
                            List.of(),
                            ConfigEntry.ConfigType.STRING,
                            ""))
                    .toList());
        }
    }

    private interface Call {
        @Nullable
        Object answer(Method method, Object @Nullable [] arguments) throws Exception;
    }

    private static <T> T proxy(Class<T> type, Call call) {
        return type.cast(Proxy.newProxyInstance(
                type.getClassLoader(),
                new Class<?>[] {type},
                (self, method, arguments) -> call.answer(method, arguments)));
    }
}
