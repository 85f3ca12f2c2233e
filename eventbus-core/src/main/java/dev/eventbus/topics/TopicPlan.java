package dev.eventbus.topics;

import dev.eventbus.ErrorCode;
import dev.eventbus.StartRefusedException;
import dev.eventbus.internal.Checks;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * All clusters, topics, groups and outboxes of a team, as one value that is kept in one file.
 *
 * <pre>{@code
 * static final TopicPlan TOPICS = TopicPlan.builder()
 *     .topics("kafka-events", TopicNaming.EVENTS, SCAN_REQUESTED, SCAN_REWARDED)
 *     .topics("kafka-events", TopicNaming.FREE, DEAD_LETTERS)
 *     .topics("kafka-cdc", TopicNaming.CDC, AUTH_USERS)
 *     .group("kafka-events", "my.scan", SCAN_REQUESTED, SCAN_REWARDED)
 *     .outbox("scan")
 *     .build();
 *
 * TOPICS.on(kafka).plan().forEach(finding -> log.info(finding.text()));
 * TOPICS.on(kafka).apply();
 * }</pre>
 *
 * <p>Names of clusters are those of {@link KafkaCluster#named}; addresses, secrets and a prefix for the environment are not in the plan but in
 * the {@link KafkaCluster} that it is used on, so one plan serves every environment. The exports are text for other tools; what they
 * say depends on nothing but the plan and, where given, the cluster. Immutable and thread-safe.
 */
public final class TopicPlan {

    private static final int MAX_GROUP_BYTES = 255;

    private final Map<String, List<TopicSpec>> topics;
    private final List<Group> groups;
    private final Set<String> outboxes;

    /** A consumer group on a cluster and the topics that it reads. */
    record Group(String cluster, String name, List<String> topics) {}

    private TopicPlan(Map<String, List<TopicSpec>> topics, List<Group> groups, Set<String> outboxes) {
        this.topics = topics;
        this.groups = groups;
        this.outboxes = outboxes;
    }

    public static Builder builder() {
        return new Builder();
    }

    /**
     * The topics of a cluster, to be compared, made and mended there.
     *
     * @throws IllegalArgumentException if the plan has no cluster of that name
     */
    public Topics on(KafkaCluster kafka) {
        Map<String, Set<String>> readers = new TreeMap<>();
        groups.stream()
                .filter(group -> group.cluster().equals(kafka.name()))
                .forEach(group -> group.topics()
                        .forEach(topic -> readers.computeIfAbsent(topic, none -> new TreeSet<>())
                                .add(group.name())));
        return Topics.of(kafka, specs(kafka), readers);
    }

    /**
     * The topics of a cluster as a shell script of {@code kafka-topics} and {@code kafka-configs}: makes those that are missing and sets
     * the settings of all. Partitions and replicas of topics that exist are left alone. Of a cluster with security the commands read
     * {@code client.properties}, which the script does not contain.
     *
     * @throws IllegalArgumentException if the plan has no cluster of that name
     */
    public String kafkaCommands(KafkaCluster kafka) {
        return new KafkaCommands(kafka).script(specs(kafka));
    }

    /**
     * The topics of a cluster as {@code KafkaTopic} resources for Strimzi 0.49 and later. Whoever deletes such a resource deletes the topic,
     * and its operator adds partitions as soon as the number grows, whatever that means for keys.
     *
     * @param strimziCluster name of Strimzi's {@code Kafka} resource
     * @throws IllegalArgumentException if the plan has no cluster of that name, or Kubernetes allows no such name of a resource
     */
    public String strimziTopics(KafkaCluster kafka, String strimziCluster) {
        return new StrimziTopics(kafka, strimziCluster).yaml(specs(kafka));
    }

    /**
     * Alert rules for Prometheus, on the meters of {@code OutboxMetrics} and {@code ConsumerMetrics} as Micrometer's registry for Prometheus names
     * them: for each group its lag, its silence and its dead letters, for each outbox its oldest row and its silence, and the brokers'
     * under-replicated partitions under the name that the JMX exporter's and Strimzi's examples give them.
     */
    public String alertRules() {
        return AlertRules.yaml(outboxes, groupNames());
    }

    /** A dashboard for Grafana on the same meters, as JSON to import. */
    public String dashboard() {
        Set<String> names = new TreeSet<>();
        topics.values().forEach(specs -> specs.forEach(spec -> names.add(spec.name())));
        return GrafanaDashboard.json(names, outboxes, groupNames());
    }

    private Set<String> groupNames() {
        Set<String> names = new TreeSet<>();
        groups.forEach(group -> names.add(group.name()));
        return names;
    }

    private List<TopicSpec> specs(KafkaCluster kafka) {
        List<TopicSpec> specs = topics.get(kafka.name());
        if (specs == null) {
            throw new IllegalArgumentException(
                    "the plan has no cluster '%s' but %s; name the cluster so with KafkaCluster.named(...), or add it to the plan"
                            .formatted(kafka.name(), topics.keySet()));
        }
        return specs;
    }

    @Override
    public String toString() {
        return "topics %s, groups %s, outboxes %s".formatted(topics, groups, outboxes);
    }

    /** Collects what a plan has; {@link #build} checks it. Of one thread. */
    public static final class Builder {

        private final Map<String, List<TopicSpec>> topics = new LinkedHashMap<>();
        private final List<Group> groups = new ArrayList<>();
        private final Set<String> outboxes = new TreeSet<>();
        private final List<String> problems = new ArrayList<>();

        private Builder() {}

        /**
         * Adds topics to a cluster; may be said several times for one.
         *
         * @param cluster name of the cluster; a {@link KafkaCluster} that was not named is {@code kafka}
         * @param naming how these topics must be named
         * @throws IllegalArgumentException if the cluster's name is blank or has a dot
         */
        public Builder topics(String cluster, TopicNaming naming, TopicSpec... specs) {
            List<TopicSpec> there = topics.computeIfAbsent(Checks.clusterName(cluster), none -> new ArrayList<>());
            for (TopicSpec spec : specs) {
                there.add(spec);
                if (!naming.allows(spec.name())) {
                    problems.add(
                            "topic %s on %s must be named %s (words of a-z 0-9 _); rename it, or put it under TopicNaming.FREE"
                                    .formatted(spec.name(), cluster, naming.rule()));
                }
            }
            return this;
        }

        /**
         * Adds a consumer group, which gets its alerts, and which the fix for a topic that is to grow names. Groups of others that
         * read the topic must be named to {@code OutboxAdmin.adoptPartitions} all the same.
         *
         * @param topics of that cluster that the group reads, one or more
         * @throws IllegalArgumentException if the group's name is blank, has control characters or is longer than 255 bytes
         */
        public Builder group(String cluster, String group, TopicSpec... topics) {
            Checks.notBlank("group", group);
            if (group.chars().anyMatch(Character::isISOControl)
                    || group.getBytes(StandardCharsets.UTF_8).length > MAX_GROUP_BYTES) {
                throw new IllegalArgumentException("group must have no control character and at most %d bytes, was '%s'"
                        .formatted(MAX_GROUP_BYTES, Checks.printable(group)));
            }
            groups.add(new Group(
                    cluster, group, Arrays.stream(topics).map(TopicSpec::name).toList()));
            return this;
        }

        /**
         * Adds outboxes of the team's services, which get their alerts. A team that only reads has none.
         *
         * @param names as given to {@code OutboxMetrics}
         * @throws IllegalArgumentException if a name is blank
         */
        public Builder outbox(String... names) {
            for (String name : names) {
                outboxes.add(Checks.notBlank("outbox", name));
            }
            return this;
        }

        /**
         * The plan.
         *
         * @throws StartRefusedException listing all that is wrong: names against their rule, topics that are there twice or whose
         *     names Kafka takes for one another, specs that contradict themselves, groups that read nothing or what is not in the plan
         */
        public TopicPlan build() {
            List<String> all = new ArrayList<>(problems);
            topics.forEach((cluster, specs) -> {
                all.addAll(Topics.problemsOf(specs));
                addCollisions(cluster, specs, all);
            });
            Set<List<String>> seen = new HashSet<>();
            for (Group group : groups) {
                String shown = Checks.printable(group.name());
                if (!seen.add(List.of(group.cluster(), group.name()))) {
                    all.add("group %s on %s is there twice; give all its topics in one call"
                            .formatted(shown, group.cluster()));
                }
                addMissingTopics(group, shown, all);
            }
            if (topics.values().stream().allMatch(List::isEmpty)) {
                all.add("the plan has no topic; add some with topics(cluster, naming, ...)");
            }
            if (!all.isEmpty()) {
                throw StartRefusedException.of(ErrorCode.TOPICS_CONTRADICT_THEMSELVES, "The topic plan was", all);
            }
            Map<String, List<TopicSpec>> kept = new LinkedHashMap<>();
            topics.forEach((cluster, specs) -> kept.put(cluster, List.copyOf(specs)));
            return new TopicPlan(
                    Collections.unmodifiableMap(kept),
                    List.copyOf(groups),
                    Collections.unmodifiableSet(new TreeSet<>(outboxes)));
        }

        private void addMissingTopics(Group group, String shown, List<String> all) {
            if (group.topics().isEmpty()) {
                all.add("group %s on %s reads no topic; name those that it reads".formatted(shown, group.cluster()));
            }
            List<String> there = topics.getOrDefault(group.cluster(), List.of()).stream()
                    .map(TopicSpec::name)
                    .toList();
            group.topics().stream()
                    .filter(topic -> !there.contains(topic))
                    .forEach(topic -> all.add(
                            "group %s reads topic %s, which the plan does not have on %s; add it there, or correct the cluster"
                                    .formatted(shown, topic, group.cluster())));
        }

        /** Kafka refuses a topic whose name differs from another's only in dots and underscores, which its own metrics cannot tell apart. */
        private static void addCollisions(String cluster, List<TopicSpec> specs, List<String> all) {
            Map<String, String> byMetric = new HashMap<>();
            for (TopicSpec spec : specs) {
                String other = byMetric.putIfAbsent(spec.name().replace('.', '_'), spec.name());
                if (other != null && !other.equals(spec.name())) {
                    all.add(
                            "topics %s and %s on %s differ only in dots and underscores, which Kafka refuses; rename one"
                                    .formatted(other, spec.name(), cluster));
                }
            }
        }
    }
}
