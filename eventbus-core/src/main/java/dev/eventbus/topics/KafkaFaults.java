package dev.eventbus.topics;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import java.util.Collection;
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
import org.apache.kafka.common.errors.TransactionalIdAuthorizationException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.jspecify.annotations.Nullable;

/**
 * Puts what a Kafka client throws into words that help: what failed and where, what becomes of the data, what to do.
 *
 * <pre>{@code
 * throw KafkaFaults.explain(kafka, e, "the events wait in the outbox");
 * }</pre>
 */
public final class KafkaFaults {

    /** What failed and what a person can do about it, without the full stop. */
    private record Explanation(ErrorCode code, String what, String fix) {

        Explanation(ErrorCode code, String what) {
            this(code, what, code.fix().substring(0, code.fix().length() - 1));
        }

        KafkaAccessException of(KafkaCluster kafka, String whatBecomesOfTheData, @Nullable Throwable cause) {
            String message = "Kafka cluster '%s' (%s) %s. %s. %s."
                    .formatted(kafka.name(), kafka.bootstrapServers(), what, capitalised(whatBecomesOfTheData), fix);
            return new KafkaAccessException(code, kafka.name(), message, cause);
        }
    }

    private KafkaFaults() {}

    /**
     * Explains a failure of a Kafka client.
     *
     * @param failure as thrown; what is wrapped by futures and by Kafka is looked for inside
     * @param whatBecomesOfTheData a clause, for instance {@code "the events wait in the outbox"}
     * @return an exception to throw or to take the message of; the given one if it is explained already
     */
    public static KafkaAccessException explain(KafkaCluster kafka, Throwable failure, String whatBecomesOfTheData) {
        return failure instanceof KafkaAccessException explained
                ? explained
                : explain(root(failure)).of(kafka, whatBecomesOfTheData, failure);
    }

    /**
     * As {@link #explain(KafkaCluster, Throwable, String)}; if the client can only say that nobody has answered, the cluster's addresses are
     * asked why, for 2 seconds at most.
     */
    public static KafkaAccessException diagnose(KafkaCluster kafka, Throwable failure, String whatBecomesOfTheData) {
        KafkaAccessException explained = explain(kafka, failure, whatBecomesOfTheData);
        return explained.code() == ErrorCode.NO_ANSWER
                ? BrokerProbe.of(kafka)
                        .ask()
                        .map(found -> explain(kafka, found, whatBecomesOfTheData, failure))
                        .orElse(explained)
                : explained;
    }

    /**
     * As {@link #explain(KafkaCluster, Throwable, String)}, of a topic that is missing; if one of those that exist has a similar name, it says so.
     *
     * @param topic as the cluster would name it
     */
    public static KafkaAccessException missing(
            KafkaCluster kafka,
            Throwable failure,
            String topic,
            Collection<String> existing,
            String whatBecomesOfTheData) {
        return Similar.to(topic, existing)
                .map(similar -> new Explanation(
                                ErrorCode.TOPIC_MISSING,
                                "does not have the topic (%s), but it has '%s', which may be meant"
                                        .formatted(said(root(failure)), similar))
                        .of(kafka, whatBecomesOfTheData, failure))
                .orElseGet(() -> explain(kafka, failure, whatBecomesOfTheData));
    }

    /** Explains what keeps a client from the cluster. */
    static KafkaAccessException explain(
            KafkaCluster kafka, BrokerProbe.Finding finding, String whatBecomesOfTheData, @Nullable Throwable cause) {
        return new Explanation(finding.code(), finding.what()).of(kafka, whatBecomesOfTheData, cause);
    }

    private static Explanation explain(Throwable fault) {
        if (fault instanceof UnreachableException unreachable) {
            return new Explanation(unreachable.code(), unreachable.what());
        }
        if (fault instanceof AuthenticationException || fault instanceof AuthorizationException) {
            return explainRefusal(fault);
        }
        if (fault instanceof TimeoutException
                || fault instanceof DisconnectException
                || fault instanceof NetworkException) {
            return new Explanation(ErrorCode.NO_ANSWER, "does not answer (%s)".formatted(said(fault)));
        }
        if (fault instanceof UnknownTopicOrPartitionException) {
            return new Explanation(ErrorCode.TOPIC_MISSING, "does not have the topic (%s)".formatted(said(fault)));
        }
        if (fault instanceof InvalidTopicException invalid) {
            return new Explanation(
                    ErrorCode.TOPIC_NAME_INVALID, "refuses the name of topic %s".formatted(invalid.invalidTopics()));
        }
        if (fault instanceof NotEnoughReplicasException || fault instanceof NotEnoughReplicasAfterAppendException) {
            return new Explanation(
                    ErrorCode.NOT_ENOUGH_REPLICAS, "has fewer in-sync replicas than the topic's min.insync.replicas");
        }
        if (fault instanceof InvalidReplicationFactorException) {
            return new Explanation(ErrorCode.TOO_FEW_BROKERS, "has too few brokers (%s)".formatted(said(fault)));
        }
        if (fault instanceof RecordTooLargeException) {
            return new Explanation(ErrorCode.RECORD_TOO_LARGE, "refuses the record as too large");
        }
        if (fault instanceof UnsupportedVersionException) {
            return new Explanation(
                    ErrorCode.BROKER_TOO_OLD, "is too old for what was asked (%s)".formatted(said(fault)));
        }
        if (fault instanceof FencedInstanceIdException || fault instanceof UnreleasedInstanceIdException) {
            return new Explanation(
                    ErrorCode.GROUP_INSTANCE_TAKEN,
                    "has another member of this group with the same group.instance.id (%s)"
                            .formatted(fault.getClass().getSimpleName()));
        }
        if (fault instanceof ConfigException) {
            return new Explanation(
                    ErrorCode.ADDRESS_UNUSABLE, "cannot be reached with these settings (%s)".formatted(said(fault)));
        }
        return new Explanation(
                ErrorCode.KAFKA_FAILED,
                "%s (%s)".formatted(fault instanceof RetriableException ? "is not ready" : "failed", said(fault)),
                fault instanceof RetriableException
                        ? "It is tried again; if it stays so, look at the brokers"
                        : "The cause has the details");
    }

    private static Explanation explainRefusal(Throwable fault) {
        if (fault instanceof SslAuthenticationException) {
            return new Explanation(
                    ErrorCode.TLS_NOT_TRUSTED, "and this client do not trust each other: the TLS handshake failed");
        }
        if (fault instanceof AuthenticationException) {
            return new Explanation(ErrorCode.NOT_AUTHENTICATED, "refuses the credentials");
        }
        if (fault instanceof TopicAuthorizationException topic) {
            return new Explanation(
                    ErrorCode.NOT_AUTHORIZED,
                    "does not let this user use topic %s".formatted(list(topic.unauthorizedTopics())),
                    "Ask for the ACLs Describe and, to publish, Write or, to consume, Read on it");
        }
        if (fault instanceof GroupAuthorizationException group) {
            return new Explanation(
                    ErrorCode.NOT_AUTHORIZED,
                    "does not let this user use consumer group '%s'".formatted(group.groupId()),
                    "Ask for the ACL Read on that group");
        }
        if (fault instanceof TransactionalIdAuthorizationException) {
            return new Explanation(
                    ErrorCode.NOT_AUTHORIZED,
                    "does not let this user use transactional ids",
                    "Ask for the ACL Write on transactional ids with the prefix eventbus-");
        }
        return new Explanation(
                ErrorCode.NOT_AUTHORIZED,
                "does not let this user do that (%s)".formatted(fault.getClass().getSimpleName()),
                "Ask for the ACL Write on the topic to publish (on a broker before 2.8 also IdempotentWrite on the cluster), or Create to provision topics");
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
