package dev.eventbus.topics;

import dev.eventbus.KafkaAccessException;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.DisconnectException;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.GroupAuthorizationException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.NetworkException;
import org.apache.kafka.common.errors.NotEnoughReplicasAfterAppendException;
import org.apache.kafka.common.errors.NotEnoughReplicasException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.SslAuthenticationException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.errors.UnsupportedVersionException;

/**
 * Puts what a Kafka client throws into words that help: what failed and where, what becomes of the data, what to do.
 *
 * <pre>{@code
 * throw KafkaFaults.explain(kafka, e, "the events wait in the outbox");
 * }</pre>
 */
public final class KafkaFaults {

    /** What failed and what a person can do about it. */
    private record Explanation(String what, String fix) {}

    private KafkaFaults() {}

    /**
     * Explains a failure of a Kafka client.
     *
     * @param failure as thrown; what is wrapped by futures and by Kafka is looked for inside
     * @param whatBecomesOfTheData a clause, for instance {@code "the events wait in the outbox"}
     * @return an exception to throw or to take the message of; the given one if it is explained already
     */
    public static KafkaAccessException explain(KafkaCluster kafka, Throwable failure, String whatBecomesOfTheData) {
        if (failure instanceof KafkaAccessException explained) {
            return explained;
        }
        Explanation explanation = explain(root(failure));
        String message = "Kafka cluster '%s' (%s) %s. %s. %s."
                .formatted(
                        kafka.name(),
                        kafka.bootstrapServers(),
                        explanation.what(),
                        capitalised(whatBecomesOfTheData),
                        explanation.fix());
        return new KafkaAccessException(kafka.name(), message, failure);
    }

    private static Explanation explain(Throwable fault) {
        if (fault instanceof AuthenticationException || fault instanceof AuthorizationException) {
            return explainRefusal(fault);
        }
        if (fault instanceof TimeoutException
                || fault instanceof DisconnectException
                || fault instanceof NetworkException) {
            return new Explanation(
                    "does not answer (%s)".formatted(said(fault)),
                    "See that a broker listens at that address, that security.protocol is the one of that port, and that the topic exists");
        }
        if (fault instanceof UnknownTopicOrPartitionException) {
            return new Explanation(
                    "does not have the topic (%s)".formatted(said(fault)),
                    "Correct the topic's name, or create it: Topics.of(kafka, ...).provision(); it is never created by itself");
        }
        if (fault instanceof InvalidTopicException invalid) {
            return new Explanation(
                    "refuses the name of topic %s".formatted(invalid.invalidTopics()), "Correct the topic's name");
        }
        if (fault instanceof NotEnoughReplicasException || fault instanceof NotEnoughReplicasAfterAppendException) {
            return new Explanation(
                    "has fewer in-sync replicas than the topic's min.insync.replicas",
                    "Bring the missing broker back; nothing is to be done in this service");
        }
        if (fault instanceof InvalidReplicationFactorException) {
            return new Explanation(
                    "has too few brokers (%s)".formatted(said(fault)),
                    "Start more brokers, or state fewer replicas on purpose: .replicationFactor(1) for a single broker");
        }
        if (fault instanceof RecordTooLargeException) {
            return new Explanation(
                    "refuses the record as too large",
                    "Send a reference instead of the data, or raise max.message.bytes of the topic and maxEventBytes together");
        }
        if (fault instanceof UnsupportedVersionException) {
            return new Explanation(
                    "is too old for what was asked (%s)".formatted(said(fault)),
                    "Use a broker of version 2.5 or later");
        }
        if (fault instanceof FencedInstanceIdException || fault instanceof UnreleasedInstanceIdException) {
            return new Explanation(
                    "has another member of this group with the same group.instance.id (%s)"
                            .formatted(fault.getClass().getSimpleName()),
                    "Give each instance a group.instance.id of its own, or none, and restart this one");
        }
        if (fault instanceof ConfigException) {
            return new Explanation(
                    "cannot be reached with these settings (%s)".formatted(said(fault)),
                    "Correct the settings given to KafkaCluster.of; a host name must have a DNS entry");
        }
        return new Explanation(
                "%s (%s)".formatted(fault instanceof RetriableException ? "is not ready" : "failed", said(fault)),
                fault instanceof RetriableException
                        ? "It is tried again; if it stays so, look at the brokers"
                        : "The cause has the details");
    }

    private static Explanation explainRefusal(Throwable fault) {
        if (fault instanceof SslAuthenticationException) {
            return new Explanation(
                    "and this client do not trust each other: the TLS handshake failed",
                    "Check ssl.truststore.location, the broker's certificate (authority, expiry, host name) and, if it asks for one, ssl.keystore.location");
        }
        if (fault instanceof AuthenticationException) {
            return new Explanation(
                    "refuses the credentials",
                    "Check user and password in sasl.jaas.config, sasl.mechanism and security.protocol");
        }
        if (fault instanceof TopicAuthorizationException topic) {
            return new Explanation(
                    "does not let this user use topic %s".formatted(list(topic.unauthorizedTopics())),
                    "Ask for the ACLs Describe and, to publish, Write or, to consume, Read on it");
        }
        if (fault instanceof GroupAuthorizationException group) {
            return new Explanation(
                    "does not let this user use consumer group '%s'".formatted(group.groupId()),
                    "Ask for the ACL Read on that group");
        }
        return new Explanation(
                "does not let this user do that (%s)".formatted(fault.getClass().getSimpleName()),
                "Ask for the ACL IdempotentWrite on the cluster to publish, or Create to provision topics");
    }

    private static String list(Set<String> topics) {
        return topics.isEmpty() ? "(not named)" : "'" + String.join("', '", topics) + "'";
    }

    /** Kafka's own answers name topics and limits; texts of other exceptions may hold anything and are left to the cause. */
    private static String said(Throwable fault) {
        String text = fault instanceof ApiException || fault instanceof ConfigException ? fault.getMessage() : null;
        String name = fault.getClass().getSimpleName();
        return text == null ? name : name + ": " + text;
    }

    /** The innermost of Kafka's answers. */
    private static Throwable root(Throwable failure) {
        Throwable known = failure;
        for (Throwable t = failure; t != null; t = t.getCause()) {
            if (t instanceof ApiException || t instanceof ConfigException || isOnlyAWrapper(known)) {
                known = t;
            }
        }
        return known;
    }

    private static boolean isOnlyAWrapper(Throwable t) {
        return t instanceof ExecutionException
                || t instanceof CompletionException
                || t.getClass() == KafkaException.class && t.getCause() != null;
    }

    private static String capitalised(String clause) {
        return clause.isEmpty() ? clause : Character.toUpperCase(clause.charAt(0)) + clause.substring(1);
    }
}
