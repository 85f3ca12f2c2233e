package dev.eventbus.topics;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.KafkaAccessException;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.stream.Stream;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.errors.ClusterAuthorizationException;
import org.apache.kafka.common.errors.CoordinatorNotAvailableException;
import org.apache.kafka.common.errors.GroupAuthorizationException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.NetworkException;
import org.apache.kafka.common.errors.NotEnoughReplicasException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.errors.SslAuthenticationException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.TransactionalIdAuthorizationException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class KafkaFaultsTest {

    private static final KafkaCluster KAFKA = KafkaCluster.at("broker-1:9092").named("kafka-events");

    static Stream<Arguments> faults() {
        return Stream.of(
                Arguments.of(new UnknownTopicOrPartitionException("unknown"), "does not have the topic", "provision()"),
                Arguments.of(new InvalidTopicException(Set.of("a b")), "[a b]", "Correct the topic's name"),
                Arguments.of(
                        new TimeoutException("Topic t not present in metadata after 5000 ms"),
                        "does not answer",
                        "the brokers are up"),
                Arguments.of(new NetworkException("gone"), "does not answer", "advertised.listeners"),
                Arguments.of(new SaslAuthenticationException("S3CR3T"), "refuses the credentials", "sasl.jaas.config"),
                Arguments.of(new AuthenticationException("S3CR3T"), "refuses the credentials", "sasl.mechanism"),
                Arguments.of(new SslAuthenticationException("S3CR3T"), "TLS handshake", "ssl.truststore.location"),
                Arguments.of(new TopicAuthorizationException(Set.of("asset.events")), "'asset.events'", "Write"),
                Arguments.of(GroupAuthorizationException.forGroupId("calculator"), "'calculator'", "ACL Read"),
                Arguments.of(
                        new TransactionalIdAuthorizationException("no"), "transactional ids", "the prefix eventbus-"),
                Arguments.of(
                        new ClusterAuthorizationException("no"), "does not let this user", "ACL Write on the topic"),
                Arguments.of(
                        new NotEnoughReplicasException("1 of 2"),
                        "fewer in-sync replicas",
                        "Bring the missing broker back"),
                Arguments.of(
                        new InvalidReplicationFactorException("only 1 broker"),
                        "too few brokers",
                        ".replicationFactor(1)"),
                Arguments.of(new RecordTooLargeException("big"), "too large", "max.message.bytes"),
                Arguments.of(new UnsupportedVersionException("old"), "too old", "2.5"),
                Arguments.of(
                        new ConfigException("No resolvable bootstrap urls given in bootstrap.servers"),
                        "No resolvable",
                        "DNS"),
                Arguments.of(new CoordinatorNotAvailableException("soon"), "is not ready", "tried again"),
                Arguments.of(new IllegalStateException("S3CR3T"), "failed (IllegalStateException)", "cause"));
    }

    @ParameterizedTest
    @MethodSource("faults")
    void each_fault_names_cluster_address_data_and_fix(Throwable fault, String what, String fix) {
        KafkaAccessException explained = KafkaFaults.explain(KAFKA, fault, "the events wait in the outbox");

        assertThat(explained.cluster()).isEqualTo("kafka-events");
        assertThat(explained)
                .hasCause(fault)
                .hasMessageStartingWith("%s Kafka cluster 'kafka-events' (broker-1:9092) "
                        .formatted(explained.code().id()))
                .hasMessageContaining(what)
                .hasMessageContaining(". The events wait in the outbox. ")
                .hasMessageContaining(fix)
                .hasMessageNotContaining("S3CR3T");
    }

    @Test
    void a_fault_is_found_inside_what_futures_and_kafka_wrap_around_it() {
        Throwable wrapped = new ExecutionException(new CompletionException(
                new KafkaException("Failed to construct kafka producer", new SaslAuthenticationException("no"))));

        assertThat(KafkaFaults.explain(KAFKA, wrapped, "nothing was sent"))
                .hasMessageContaining("refuses the credentials")
                .hasCause(wrapped);
        assertThat(KafkaFaults.explain(KAFKA, new KafkaException("bare"), "nothing was sent"))
                .hasMessageContaining("failed (KafkaException)");
        assertThat(KafkaFaults.explain(
                        KAFKA,
                        new TimeoutException("late", new UnknownTopicOrPartitionException("t")),
                        "nothing was sent"))
                .hasMessageContaining("does not have the topic");
    }

    @Test
    void of_a_missing_topic_the_one_is_named_that_may_be_meant_and_no_other() {
        UnknownTopicOrPartitionException unknown = new UnknownTopicOrPartitionException("no topic asset.evnts");

        assertThat(KafkaFaults.missing(
                        KAFKA, unknown, "asset.evnts", Set.of("housing.events", "asset.events"), "nothing was sent"))
                .hasMessageContaining("but it has 'asset.events', which may be meant. Nothing was sent.")
                .hasCause(unknown);
        assertThat(KafkaFaults.missing(KAFKA, unknown, "asset.evnts", Set.of("housing.events"), "nothing was sent"))
                .hasMessageContaining(
                        "does not have the topic (UnknownTopicOrPartitionException: no topic asset.evnts).");
    }

    @Test
    void what_is_explained_stays_as_it_is() {
        KafkaAccessException explained = KafkaFaults.explain(KAFKA, new TimeoutException("late"), "nothing was sent");

        assertThat(KafkaFaults.explain(KAFKA, explained, "another clause")).isSameAs(explained);
    }
}
