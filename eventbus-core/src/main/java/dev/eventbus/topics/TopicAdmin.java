package dev.eventbus.topics;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.internal.RunLoop;
import dev.eventbus.topics.TopicComparison.Found;
import java.time.Duration;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.jspecify.annotations.Nullable;

/** What is asked and changed about topics, by logical name. One object for one call of {@link Topics}; of one thread. */
final class TopicAdmin {

    private static final Duration ASKED_EVERY = Duration.ofMillis(50);

    /** A broker that starts gets so much time, unless the caller has asked for more than the default; a mistyped address shall be told soon. */
    private static final Duration LONGEST_AT_A_CLOSED_PORT = Duration.ofSeconds(2);

    private final KafkaCluster kafka;
    private final Admin admin;
    private final Duration timeout;

    private TopicAdmin(KafkaCluster kafka, Admin admin, Duration timeout) {
        this.kafka = kafka;
        this.admin = admin;
        this.timeout = timeout;
    }

    /** The user lacks an ACL on a topic. */
    private static final class Refused extends RuntimeException {

        private static final long serialVersionUID = 1;

        private final String acl;
        private final String topic;

        Refused(String acl, String topic, AuthorizationException refusal) {
            super(refusal);
            this.acl = acl;
            this.topic = topic;
        }

        KafkaAccessException explained(KafkaCluster kafka, String whatBecomesOfTheData) {
            String message =
                    "Kafka cluster '%s' (%s) does not let this user do that with topic '%s'. %s. Ask for the ACL %s on it."
                            .formatted(
                                    kafka.name(),
                                    kafka.bootstrapServers(),
                                    kafka.physicalTopic(topic),
                                    whatBecomesOfTheData,
                                    acl);
            KafkaAccessException explained = new KafkaAccessException(
                    ErrorCode.NOT_AUTHORIZED, kafka.name(), message, getCause() == null ? this : getCause());
            for (Throwable later : getSuppressed()) {
                explained.addSuppressed(later);
            }
            return explained;
        }
    }

    /** Work with an admin client. */
    @FunctionalInterface
    interface Work<T> {
        T with(TopicAdmin admin) throws InterruptedException;
    }

    /**
     * Opens an admin client for some work and closes it. At a closed port or with the wrong protocol it does not come to that.
     *
     * @param whatBecomesOfTheData for the message, asked when something has failed
     * @throws KafkaAccessException if the cluster does not answer or refuses
     */
    static <T> T ask(KafkaCluster kafka, Duration timeout, Supplier<String> whatBecomesOfTheData, Work<T> work) {
        boolean asksForMore = timeout.compareTo(Topics.DEFAULT_TIMEOUT) > 0;
        boolean isShorter = timeout.compareTo(LONGEST_AT_A_CLOSED_PORT) < 0;
        Optional<BrokerProbe.Finding> unreachable =
                BrokerProbe.of(kafka).await(asksForMore || isShorter ? timeout : LONGEST_AT_A_CLOSED_PORT);
        if (unreachable.isPresent()) {
            throw KafkaFaults.explain(kafka, unreachable.get(), whatBecomesOfTheData.get(), null);
        }
        try {
            Admin admin = kafka.admin();
            try {
                return work.with(new TopicAdmin(kafka, admin, timeout));
            } finally {
                admin.close(Duration.ZERO);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw KafkaFaults.diagnose(kafka, e, whatBecomesOfTheData.get());
        } catch (Refused e) {
            throw e.explained(kafka, whatBecomesOfTheData.get());
        } catch (RuntimeException e) {
            throw KafkaFaults.diagnose(kafka, e, whatBecomesOfTheData.get());
        }
    }

    /** Names of those that exist. */
    Set<String> existing(Collection<TopicSpec> topics) throws InterruptedException {
        return describe(topics).keySet();
    }

    /** Those that exist, as they are. */
    Map<String, Found> find(Collection<TopicSpec> topics) throws InterruptedException {
        Map<String, TopicDescription> existing = describe(topics);
        Map<String, Found> found = new LinkedHashMap<>();
        configs(existing.keySet()).forEach((topic, config) -> {
            TopicDescription description = existing.get(topic);
            if (description != null) {
                found.put(topic, found(description, config));
            }
        });
        return found;
    }

    private static Found found(TopicDescription description, Config config) {
        int replicas = description.partitions().stream()
                .mapToInt(partition -> partition.replicas().size())
                .min()
                .orElse(0);
        Map<String, String> settings = new LinkedHashMap<>();
        Set<String> written = new HashSet<>();
        for (ConfigEntry entry : config.entries()) {
            if (entry.value() != null) {
                settings.put(entry.name(), entry.value());
            }
            if (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG) {
                written.add(entry.name());
            }
        }
        return new Found(description.partitions().size(), replicas, settings, written);
    }

    private Map<String, TopicDescription> describe(Collection<TopicSpec> topics) throws InterruptedException {
        List<String> names =
                topics.stream().map(spec -> kafka.physicalTopic(spec.name())).toList();
        Map<String, KafkaFuture<TopicDescription>> answers = admin.describeTopics(
                        names, new DescribeTopicsOptions().timeoutMs(millis()))
                .topicNameValues();
        Map<String, TopicDescription> existing = new LinkedHashMap<>();
        for (TopicSpec spec : topics) {
            try {
                existing.put(
                        spec.name(), await(answers.get(kafka.physicalTopic(spec.name())), "Describe", spec.name()));
            } catch (UnknownTopicOrPartitionException e) {
                // missing
            }
        }
        return existing;
    }

    private Map<String, Config> configs(Collection<String> topics) throws InterruptedException {
        Map<ConfigResource, KafkaFuture<Config>> answers = admin.describeConfigs(
                        topics.stream().map(this::resource).toList(), new DescribeConfigsOptions().timeoutMs(millis()))
                .values();
        Map<String, Config> configs = new LinkedHashMap<>();
        for (String topic : topics) {
            try {
                configs.put(topic, await(answers.get(resource(topic)), "DescribeConfigs", topic));
            } catch (UnknownTopicOrPartitionException e) {
                // deleted since, or the broker that answered does not know it yet
            }
        }
        return configs;
    }

    /**
     * Asks for all of them at once; if some are refused, the others are made all the same.
     *
     * @param created hears of each that this call made; one that is there already is not ours to count
     */
    void create(Collection<TopicSpec> missing, Consumer<TopicSpec> created) throws InterruptedException {
        Map<String, KafkaFuture<Void>> answers = missing.isEmpty()
                ? Map.of()
                : admin.createTopics(
                                missing.stream().map(this::newTopic).toList(),
                                new CreateTopicsOptions().timeoutMs(millis()))
                        .values();
        RuntimeException failure = null;
        for (TopicSpec spec : missing) {
            try {
                await(answers.get(kafka.physicalTopic(spec.name())), "Create", spec.name());
                created.accept(spec);
            } catch (TopicExistsException e) {
                // somebody else was faster
            } catch (RuntimeException e) {
                failure = failure == null ? e : failure;
            }
        }
        if (failure != null) {
            throw failure;
        }
    }

    private NewTopic newTopic(TopicSpec spec) {
        return new NewTopic(kafka.physicalTopic(spec.name()), spec.partitions(), (short) spec.replicationFactor())
                .configs(spec.settings());
    }

    /** Waits until the broker that answers knows of topics that exist. */
    void awaitKnown(Collection<TopicSpec> topics) {
        awaitSeen(admin -> topics.isEmpty() || admin.describe(topics).size() == topics.size());
    }

    /** Waits, as long as a call may take, for what is done already: a broker learns a moment later of what was done at another. */
    boolean awaitSeen(Work<Boolean> seen) {
        return RunLoop.await(timeout, ASKED_EVERY, () -> {
            try {
                return seen.with(this);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return true; // nothing to wait for any more
            }
        });
    }

    /** All of them or, if the broker refuses one, none. */
    void set(String topic, Map<String, String> settings) throws InterruptedException {
        ConfigResource resource = resource(topic);
        List<AlterConfigOp> operations = settings.entrySet().stream()
                .map(setting -> new AlterConfigOp(
                        new ConfigEntry(setting.getKey(), setting.getValue()), AlterConfigOp.OpType.SET))
                .toList();
        await(
                admin.incrementalAlterConfigs(
                                Map.of(resource, operations), new AlterConfigsOptions().timeoutMs(millis()))
                        .values()
                        .get(resource),
                "AlterConfigs",
                topic);
    }

    /** @return false if somebody else was faster */
    boolean grow(TopicSpec spec, int partitions) throws InterruptedException {
        String physical = kafka.physicalTopic(spec.name());
        try {
            await(
                    admin.createPartitions(
                                    Map.of(physical, NewPartitions.increaseTo(partitions)),
                                    new CreatePartitionsOptions().timeoutMs(millis()))
                            .values()
                            .get(physical),
                    "Alter",
                    spec.name());
            return true;
        } catch (InvalidPartitionsException e) {
            if (!awaitSeen(admin -> admin.partitions(spec) >= partitions)) {
                throw e;
            }
            return false;
        }
    }

    private int partitions(TopicSpec spec) throws InterruptedException {
        TopicDescription found = describe(List.of(spec)).get(spec.name());
        return found == null ? 0 : found.partitions().size();
    }

    private ConfigResource resource(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, kafka.physicalTopic(topic));
    }

    /** @param acl what the user needs on the topic for this */
    private <T> T await(@Nullable KafkaFuture<T> answer, String acl, String topic) throws InterruptedException {
        if (answer == null) {
            throw new IllegalStateException("no answer about topic " + topic);
        }
        try {
            return answer.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof AuthorizationException refusal) {
                throw new Refused(acl, topic, refusal);
            }
            throw e.getCause() instanceof RuntimeException cause ? cause : new IllegalStateException(e.getCause());
        } catch (java.util.concurrent.TimeoutException e) {
            throw new TimeoutException("no answer within " + timeout, e);
        }
    }

    private int millis() {
        return (int) Math.min(timeout.toMillis(), Integer.MAX_VALUE);
    }
}
