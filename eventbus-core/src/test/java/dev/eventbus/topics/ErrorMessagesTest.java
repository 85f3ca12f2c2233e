package dev.eventbus.topics;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.fasterxml.jackson.annotation.JsonAnyGetter;
import dev.eventbus.Codec;
import dev.eventbus.ErrorCode;
import dev.eventbus.Event;
import dev.eventbus.EventBusException;
import dev.eventbus.EventEncoder;
import dev.eventbus.EventType;
import java.io.InputStream;
import java.net.ConnectException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.GroupAuthorizationException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.NotEnoughReplicasException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.errors.SslAuthenticationException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What people read when something is wrong, word for word: a change of a message is seen and meant. */
class ErrorMessagesTest {

    private static final KafkaCluster KAFKA = KafkaCluster.at("broker-1:9092").named("kafka-events");
    private static final String WAIT = "the events wait in the outbox";

    record Moved(@Nullable String userId, @JsonAnyGetter Map<String, Object> more) {

        static Moved by(@Nullable String userId) {
            return new Moved(userId, Map.of());
        }
    }

    private static final EventType<Moved> MOVED =
            EventType.of("ASSET_MOVED", Moved.class).topic("asset.events").key(Moved::userId);

    private static final EventType<Object> TEXT =
            EventType.of("TEXT", Object.class).topic("asset.events").key(text -> "u1");

    private static final EventType<Moved> READ_ONLY = EventType.of(
                    "READ_ONLY", Moved.class, Codec.reading((topic, bytes) -> Moved.by("u1")))
            .topic("asset.events")
            .key(Moved::userId);

    /** Its payloads are what its serializer throws. */
    private static final EventType<RuntimeException> FAILING = EventType.of(
                    "FAILING",
                    RuntimeException.class,
                    Codec.of(
                            "text/plain",
                            (topic, failure) -> {
                                throw failure;
                            },
                            (topic, bytes) -> new IllegalStateException()))
            .topic("asset.events")
            .key(failure -> "u1");

    private static final EventType<String> OTHER_KEY = EventType.of(
                    "OTHER_KEY", String.class, Codec.of("text/plain", new StringSerializer(), new StringDeserializer()))
            .topic("asset.events")
            .key(text -> text);

    @Test
    void messages_are_as_they_were_agreed_on() throws Exception {
        String messages = Stream.of(ofKafka(), ofAMisspeltTopic(), ofAProbe(), ofSettings(), ofTopics(), ofPublishing())
                .flatMap(some -> some)
                .collect(Collectors.joining("\n\n", "", "\n"));
        Path made = Path.of("target", "messages.txt");
        Files.writeString(made, messages);

        try (InputStream golden = ErrorMessagesTest.class.getResourceAsStream("/golden/errors/messages.txt")) {
            assertThat(golden).isNotNull();
            assertThat(new String(golden.readAllBytes(), UTF_8))
                    .as("if the change is meant, copy eventbus-core/%s to golden/errors", made)
                    .isEqualTo(messages);
        }
    }

    private static Stream<String> ofKafka() {
        return Stream.of(
                        new UnknownTopicOrPartitionException("This server does not host this topic-partition."),
                        new TimeoutException("Topic asset.events not present in metadata after 5000 ms."),
                        new ConfigException("No resolvable bootstrap urls given in bootstrap.servers"),
                        new SaslAuthenticationException("user asset, password S3CR3T"),
                        new SslAuthenticationException("SSL handshake failed"),
                        new TopicAuthorizationException(Set.of("asset.events")),
                        GroupAuthorizationException.forGroupId("calculator.asset.events"),
                        new NotEnoughReplicasException("1 of 2"),
                        new InvalidReplicationFactorException(
                                "Replication factor: 3 larger than available brokers: 1."),
                        new RecordTooLargeException("The message is 2000089 bytes"),
                        new InvalidTopicException(Set.of("a b")),
                        new UnsupportedVersionException("The broker does not support DESCRIBE_TOPICS"),
                        new FencedInstanceIdException("replaced"),
                        new IllegalStateException("S3CR3T"))
                .map(fault -> KafkaFaults.explain(KAFKA, fault, WAIT).getMessage());
    }

    private static Stream<String> ofAMisspeltTopic() {
        Throwable unknown = new UnknownTopicOrPartitionException("This server does not host this topic-partition.");
        return Stream.of(
                KafkaFaults.missing(KAFKA, unknown, "asset.evnts", Set.of("asset.events", "housing.events"), WAIT)
                        .getMessage());
    }

    private static Stream<String> ofAProbe() {
        return Stream.of(
                        new BrokerProbe.Finding(ErrorCode.NOBODY_LISTENS, "is not there: the connection is refused"),
                        new BrokerProbe.Finding(
                                ErrorCode.SPEAKS_PLAINTEXT,
                                "speaks plaintext at broker-1:9092, and this client is set to TLS"),
                        new BrokerProbe.Finding(
                                ErrorCode.SPEAKS_TLS,
                                "speaks TLS at broker-1:9092, and this client is set to plaintext"))
                .map(finding -> KafkaFaults.explain(KAFKA, finding, WAIT, null).getMessage());
    }

    private static Stream<String> ofSettings() {
        return Stream.of(
                refused(() -> KafkaCluster.of(
                        Map.of("bootstrap.servers", "broker-1:9092", "acks", "1", "enable.idempotense", "true"))),
                refused(() -> KafkaCluster.at("localhost")),
                refused(() -> Topics.of(KAFKA, TopicSpec.of("asset.events", 3), TopicSpec.of("asset.events", 6))));
    }

    private static Stream<String> ofTopics() {
        return Stream.of(
                Topics.refusal(KAFKA, found(TopicSpec.of("asset.events", 3).compression("gzip"), 3))
                        .getMessage(),
                riskOf(1, 1),
                riskOf(1, 2),
                riskOf(2, 2),
                riskOf(3, 1));
    }

    private static String riskOf(int replicas, int minInsync) {
        TopicSpec spec =
                TopicSpec.of("asset.events", 6).replicationFactor(replicas).minInsyncReplicas(minInsync);
        return found(spec, replicas).get(0).text();
    }

    /** Of a topic with six partitions and lz4. */
    private static List<TopicFinding> found(TopicSpec spec, int replicas) {
        Map<String, String> settings = new HashMap<>(spec.settings());
        settings.put("compression.type", "lz4");
        return TopicComparison.of(
                spec,
                new TopicComparison.Found(6, replicas, settings, settings.keySet()),
                new TopicFixes(new KafkaCommands(KAFKA), Map.of()));
    }

    private static Stream<String> ofPublishing() {
        EventEncoder encoder = new EventEncoder();
        Instant now = Instant.parse("2030-01-01T00:00:00Z");
        return Stream.of(
                refused(() -> Event.of(MOVED, "evt-1", now, Moved.by(null))),
                refused(() -> encoder.encode(Event.of(MOVED, "evt-1", now, Moved.by("u".repeat(300))))),
                refused(() ->
                        encoder.encode(Event.of(MOVED, "evt-1", now, new Moved("u1", Map.of("eventId", "mine"))))),
                refused(() -> encoder.encode(Event.of(TEXT, "evt-1", now, "no object"))),
                refused(() -> encoder.encode(Event.of(READ_ONLY, "evt-1", now, Moved.by("u1")))),
                refused(() -> encoder.encode(Event.of(FAILING, "evt-1", now, new IllegalStateException()))),
                refused(() -> encoder.encode(
                        Event.of(FAILING, "evt-1", now, new SerializationException(new ConnectException())))),
                refused(() -> encoder.encode(new Event<>("evt-1", OTHER_KEY, "u2", now, "u1", Map.of()))),
                refused(() -> encoder.encode(new Event<>(
                        "evt-1", MOVED, "u1", now, Moved.by("u1"), Collections.singletonMap("tenant", null)))),
                refused(() -> encoder.encode(
                        Event.of(MOVED, "evt-1", now, Moved.by("u1")).withHeader("eventType", "x"))),
                refused(() -> EventEncoder.checkedKeys("")));
    }

    private static String refused(ThrowingCallable call) {
        return catchThrowableOfType(EventBusException.class, call).getMessage();
    }
}
