package dev.eventbus.topics;

import dev.eventbus.KafkaAccessException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.internal.Checks;
import dev.eventbus.internal.RunLoop;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/**
 * Creates the topics that are missing and tells how those that are there differ from what they should be.
 *
 * <pre>{@code
 * Topics topics = Topics.of(kafka, ASSET_EVENTS, HOUSING_EVENTS, DEAD_LETTERS);
 * topics.provision();
 * topics.verify().forEach(finding -> log.warn(finding.text()));
 * }</pre>
 *
 * <p>Nothing that exists is altered. Each call opens an admin client of its own, closes it, and waits for at most the time-out,
 * 10 seconds by default. Immutable and thread-safe.
 */
public final class Topics {

    /** How long a call waits for the cluster unless set: 10 s. */
    public static final Duration DEFAULT_TIMEOUT = Duration.ofSeconds(10);

    private final KafkaCluster kafka;
    private final List<TopicSpec> specs;
    private final Duration timeout;

    private Topics(KafkaCluster kafka, List<TopicSpec> specs, Duration timeout) {
        this.kafka = kafka;
        this.specs = specs;
        this.timeout = timeout;
    }

    /** @throws StartRefusedException listing every spec that contradicts itself and every topic that has two */
    public static Topics of(KafkaCluster kafka, TopicSpec... specs) {
        return of(kafka, List.of(specs));
    }

    /** @throws StartRefusedException listing every spec that contradicts itself and every topic that has two */
    public static Topics of(KafkaCluster kafka, Collection<TopicSpec> specs) {
        List<String> problems = new ArrayList<>();
        Map<String, TopicSpec> byName = new LinkedHashMap<>();
        for (TopicSpec spec : specs) {
            problems.addAll(spec.contradictions());
            if (byName.put(spec.name(), spec) != null) {
                problems.add("topic %s is specified twice; keep one of them".formatted(spec.name()));
            }
        }
        if (!problems.isEmpty()) {
            throw StartRefusedException.of("Topics were", problems);
        }
        return new Topics(kafka, List.copyOf(specs), DEFAULT_TIMEOUT);
    }

    /** The same topics with another time-out for each call. */
    public Topics timeout(Duration timeout) {
        return new Topics(kafka, specs, Checks.positive("timeout", timeout));
    }

    /**
     * Creates the topics that are missing. One that is there stays as it is, however it differs.
     *
     * @return logical names of the topics that this call created
     * @throws KafkaAccessException if the cluster does not answer or refuses; what was created until then stays
     */
    public List<String> provision() {
        return withAdmin("Nothing existing was altered; topics created so far stay", admin -> {
            Map<String, TopicDescription> existing = describe(admin, specs);
            List<TopicSpec> missing = specs.stream()
                    .filter(spec -> !existing.containsKey(spec.name()))
                    .toList();
            List<TopicSpec> created = create(admin, missing);
            RunLoop.await(timeout, () -> isKnown(admin, created)); // other brokers learn of it a moment later
            return created.stream().map(TopicSpec::name).toList();
        });
    }

    /**
     * Compares the topics with their specs.
     *
     * @return all that was found; empty if everything is as it should be
     * @throws KafkaAccessException if the cluster does not answer or refuses
     */
    public List<TopicFinding> verify() {
        return withAdmin("Nothing was changed", admin -> {
            Map<String, TopicDescription> existing = describe(admin, specs);
            Map<String, Config> configs = configs(admin, existing.keySet());
            List<TopicFinding> findings = new ArrayList<>();
            for (TopicSpec spec : specs) {
                TopicDescription found = existing.get(spec.name());
                Config config = configs.get(spec.name());
                if (found == null || config == null) {
                    findings.add(new TopicFinding.Missing(spec.name()));
                } else {
                    findings.addAll(compare(spec, found, config));
                }
            }
            return List.copyOf(findings);
        });
    }

    private static List<TopicFinding> compare(TopicSpec spec, TopicDescription found, Config config) {
        int partitions = found.partitions().size();
        int replicas = found.partitions().stream()
                .mapToInt(partition -> partition.replicas().size())
                .min()
                .orElse(0);
        Map<String, String> settings = new LinkedHashMap<>();
        for (ConfigEntry entry : config.entries()) {
            if (entry.value() != null) {
                settings.put(entry.name(), entry.value());
            }
        }
        return TopicComparison.of(spec, partitions, replicas, settings);
    }

    private List<TopicSpec> create(Admin admin, List<TopicSpec> missing) throws InterruptedException {
        List<NewTopic> topics = missing.stream().map(this::newTopic).toList();
        Map<String, KafkaFuture<Void>> answers = topics.isEmpty()
                ? Map.of()
                : admin.createTopics(topics, new CreateTopicsOptions().timeoutMs(millis()))
                        .values();
        List<TopicSpec> created = new ArrayList<>();
        for (TopicSpec spec : missing) {
            KafkaFuture<Void> answer = answers.get(kafka.physicalTopic(spec.name()));
            try {
                if (answer != null) {
                    await(answer);
                    created.add(spec);
                }
            } catch (TopicExistsException e) {
                // somebody else was faster: it is there, and it is not ours to count
            }
        }
        return created;
    }

    private NewTopic newTopic(TopicSpec spec) {
        return new NewTopic(kafka.physicalTopic(spec.name()), spec.partitions(), (short) spec.replicationFactor())
                .configs(spec.settings());
    }

    private boolean isKnown(Admin admin, List<TopicSpec> topics) {
        try {
            return topics.isEmpty() || describe(admin, topics).size() == topics.size();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return true; // nothing to wait for any more; the topics are created
        }
    }

    /** What exists of some topics, by logical name. */
    private Map<String, TopicDescription> describe(Admin admin, List<TopicSpec> topics) throws InterruptedException {
        List<String> names =
                topics.stream().map(spec -> kafka.physicalTopic(spec.name())).toList();
        Map<String, KafkaFuture<TopicDescription>> answers = admin.describeTopics(
                        names, new DescribeTopicsOptions().timeoutMs(millis()))
                .topicNameValues();
        Map<String, TopicDescription> existing = new LinkedHashMap<>();
        for (TopicSpec spec : topics) {
            KafkaFuture<TopicDescription> answer = answers.get(kafka.physicalTopic(spec.name()));
            try {
                if (answer != null) {
                    existing.put(spec.name(), await(answer));
                }
            } catch (UnknownTopicOrPartitionException e) {
                // missing
            }
        }
        return existing;
    }

    private Map<String, Config> configs(Admin admin, Collection<String> topics) throws InterruptedException {
        Map<ConfigResource, String> resources = new LinkedHashMap<>();
        for (String topic : topics) {
            resources.put(new ConfigResource(ConfigResource.Type.TOPIC, kafka.physicalTopic(topic)), topic);
        }
        Map<String, Config> configs = new LinkedHashMap<>();
        Map<ConfigResource, Config> found =
                await(admin.describeConfigs(resources.keySet(), new DescribeConfigsOptions().timeoutMs(millis()))
                        .all());
        found.forEach((resource, config) -> configs.put(kafka.logicalTopic(resource.name()), config));
        return configs;
    }

    private <T> T await(KafkaFuture<T> answer) throws InterruptedException {
        try {
            return answer.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            throw e.getCause() instanceof RuntimeException cause ? cause : new IllegalStateException(e.getCause());
        } catch (java.util.concurrent.TimeoutException e) {
            throw new TimeoutException("no answer within " + timeout, e);
        }
    }

    private int millis() {
        return (int) Math.min(timeout.toMillis(), Integer.MAX_VALUE);
    }

    /** Work with an admin client. */
    @FunctionalInterface
    private interface AdminWork<T> {
        T with(Admin admin) throws InterruptedException;
    }

    private <T> T withAdmin(String whatBecomesOfTheData, AdminWork<T> work) {
        try {
            Admin admin = kafka.admin();
            try {
                return work.with(admin);
            } finally {
                admin.close(Duration.ZERO);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw KafkaFaults.explain(kafka, e, whatBecomesOfTheData);
        } catch (RuntimeException e) {
            throw KafkaFaults.explain(kafka, e, whatBecomesOfTheData);
        }
    }
}
