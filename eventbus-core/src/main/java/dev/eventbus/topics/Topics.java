package dev.eventbus.topics;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.internal.Checks;
import dev.eventbus.topics.TopicFinding.Remedy;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.common.errors.RetriableException;

/**
 * Topics of one cluster as they should be: tells how those that are there differ, creates what is missing, mends what can be mended
 * without losing an event.
 *
 * <pre>{@code
 * Topics topics = Topics.of(kafka, ASSET_EVENTS, HOUSING_EVENTS, DEAD_LETTERS);
 * topics.provision();
 * topics.requireAsSpecified();
 * topics.verify().forEach(finding -> log.warn(finding.text()));
 * }</pre>
 *
 * <p>A team that keeps all its topics in one place writes a {@link TopicPlan} and gets this with {@link TopicPlan#on}. Nothing is ever
 * deleted, and only {@code apply} alters what exists. Each call opens an admin client of its own, closes it, and waits for at most the time-out,
 * 10 seconds by default; for brokers that all refuse the connection 2 seconds, unless the time-out was
 * set to more than the default, and not at all if one side speaks TLS and the other does not.
 * Immutable and thread-safe.
 */
public final class Topics {

    /** How long a call waits for the cluster unless set: 10 s. */
    public static final Duration DEFAULT_TIMEOUT = Duration.ofSeconds(10);

    private final KafkaCluster kafka;
    private final List<TopicSpec> specs;
    private final TopicFixes fixes;
    private final Duration timeout;

    private Topics(KafkaCluster kafka, List<TopicSpec> specs, TopicFixes fixes, Duration timeout) {
        this.kafka = kafka;
        this.specs = specs;
        this.fixes = fixes;
        this.timeout = timeout;
    }

    /** @throws StartRefusedException listing every spec that contradicts itself and every topic that has two */
    public static Topics of(KafkaCluster kafka, TopicSpec... specs) {
        return of(kafka, List.of(specs));
    }

    /** @throws StartRefusedException listing every spec that contradicts itself and every topic that has two */
    public static Topics of(KafkaCluster kafka, Collection<TopicSpec> specs) {
        List<String> problems = problemsOf(specs);
        if (!problems.isEmpty()) {
            throw StartRefusedException.of(ErrorCode.TOPICS_CONTRADICT_THEMSELVES, "Topics were", problems);
        }
        return of(kafka, specs, Map.of());
    }

    /** @param groups that read a topic, by topic */
    static Topics of(KafkaCluster kafka, Collection<TopicSpec> checked, Map<String, Set<String>> groups) {
        TopicFixes fixes = new TopicFixes(new KafkaCommands(kafka), groups);
        return new Topics(kafka, List.copyOf(checked), fixes, DEFAULT_TIMEOUT);
    }

    static List<String> problemsOf(Collection<TopicSpec> specs) {
        List<String> problems = new ArrayList<>();
        Map<String, TopicSpec> byName = new LinkedHashMap<>();
        for (TopicSpec spec : specs) {
            problems.addAll(spec.contradictions());
            if (byName.put(spec.name(), spec) != null) {
                problems.add("topic %s is specified twice; keep one of them".formatted(spec.name()));
            }
        }
        return problems;
    }

    /** The same topics with another time-out for each call. */
    public Topics timeout(Duration timeout) {
        return new Topics(kafka, specs, fixes, Checks.positive("timeout", timeout));
    }

    /**
     * Creates the topics that are missing. One that is there stays as it is, however it differs.
     *
     * @return logical names of the topics that this call created
     * @throws KafkaAccessException if the cluster does not answer or refuses; what was created until then stays
     */
    public List<String> provision() {
        return TopicAdmin.ask(
                kafka, timeout, () -> "Nothing existing was altered; topics created so far stay", admin -> {
                    List<TopicSpec> created = new ArrayList<>();
                    admin.create(missing(admin.existing(specs)), created::add);
                    admin.awaitKnown(created);
                    return created.stream().map(TopicSpec::name).toList();
                });
    }

    /**
     * Compares the topics with their specs, for a check at the start of a service. Changes nothing. Each finding has its exact fix.
     *
     * @return all that was found, risks too; empty if everything is as it should be
     * @throws KafkaAccessException if the cluster does not answer or refuses
     */
    public List<TopicFinding> verify() {
        return TopicAdmin.ask(kafka, timeout, () -> "Nothing was changed", admin -> compare(admin, specs));
    }

    /**
     * Tells in which ways the topics differ from their specs, and with {@link TopicFinding#fix()} what {@link #apply()} would mend and
     * what it would not. Changes nothing. Settings that {@link TopicSpec#settings()} does not have are not looked at, and a mere risk is
     * no difference.
     *
     * @return empty if there is nothing to do
     * @throws KafkaAccessException if the cluster does not answer or refuses
     */
    public List<TopicFinding> plan() {
        return verify().stream()
                .filter(finding -> !(finding instanceof TopicFinding.Risk))
                .toList();
    }

    /**
     * For a service that must not start on other topics than these: does nothing if {@link #plan()} has nothing to tell. A mere risk is
     * not refused. Changes nothing.
     *
     * @throws StartRefusedException listing all that differs, each with its exact fix
     * @throws KafkaAccessException if the cluster does not answer or refuses
     */
    public void requireAsSpecified() {
        List<TopicFinding> differing = plan();
        if (!differing.isEmpty()) {
            throw refusal(kafka, differing);
        }
    }

    static StartRefusedException refusal(KafkaCluster kafka, List<TopicFinding> differing) {
        String topics = "Topics of Kafka cluster '%s' (%s) were".formatted(kafka.name(), kafka.bootstrapServers());
        List<String> texts = differing.stream().map(TopicFinding::text).toList();
        return StartRefusedException.of(ErrorCode.TOPICS_DIFFER, topics, texts);
    }

    /**
     * Mends what {@link #plan()} tells, as far as no event can be lost by it: creates topics that are missing and sets settings. Never
     * deletes a topic, never takes partitions away and adds none, never changes replicas, and leaves to a person what would make the
     * broker delete events (a shorter retention or compaction lag, another clean-up) or refuse larger ones, or would lift a limit in bytes
     * that the spec does not state. What it left is in the plan afterwards. Any number of processes may do this at once. A broker that did
     * not answer here may tell the old state for a moment. Each topic is looked at again just before it is changed; what somebody else does
     * to the same setting in the moment between is overwritten, since Kafka cannot compare and set.
     *
     * @return what this call mended, each as it was found
     * @throws KafkaAccessException if the cluster does not answer or refuses; it says what was done until then, which stays
     */
    public List<TopicFinding> apply() {
        return apply(Set.of(Remedy.APPLY));
    }

    /**
     * As {@link #apply()}, and adds the partitions that are wanted.
     *
     * @param though what that means for the order of a key's events, and what to do about it
     */
    public List<TopicFinding> apply(GrowPartitions though) {
        return switch (though) {
            case THOUGH_KEYS_CHANGE_PARTITION -> apply(Set.of(Remedy.APPLY, Remedy.APPLY_GROWING));
        };
    }

    private List<TopicFinding> apply(Set<Remedy> allowed) {
        List<TopicFinding> done = new ArrayList<>();
        return TopicAdmin.ask(kafka, timeout, () -> soFar(done), admin -> {
            createAndMend(admin, allowed, done);
            admin.awaitSeen(self -> done.isEmpty() || Collections.disjoint(compare(self, specs), done));
            return List.copyOf(done);
        });
    }

    /** If a topic is refused, those that are there are mended all the same; a cluster that does not answer is not asked again. */
    private void createAndMend(TopicAdmin admin, Set<Remedy> allowed, List<TopicFinding> done)
            throws InterruptedException {
        List<TopicSpec> missing = missing(admin.find(specs).keySet());
        List<TopicSpec> created = new ArrayList<>();
        RuntimeException refusal = null;
        try {
            admin.create(missing, spec -> {
                created.add(spec);
                done.add(new TopicFinding.Missing(spec.name(), fixes.missing(spec)));
            });
        } catch (RetriableException e) {
            throw e;
        } catch (RuntimeException e) {
            refusal = e;
        }
        try {
            admin.awaitKnown(refusal == null ? missing : created);
            mendAll(admin, differing(admin, allowed), allowed, done);
        } catch (RuntimeException e) {
            if (refusal == null) {
                throw e;
            }
            refusal.addSuppressed(e);
        }
        if (refusal != null) {
            throw refusal;
        }
    }

    private List<TopicSpec> differing(TopicAdmin admin, Set<Remedy> allowed) throws InterruptedException {
        Set<String> differing = compare(admin, specs).stream()
                .filter(finding -> allowed.contains(finding.fix().by()))
                .map(TopicFinding::topic)
                .collect(Collectors.toSet());
        return specs.stream().filter(spec -> differing.contains(spec.name())).toList();
    }

    /** If one topic is refused, the others are mended all the same; a cluster that does not answer is not asked again. */
    private void mendAll(TopicAdmin admin, List<TopicSpec> differing, Set<Remedy> allowed, List<TopicFinding> done)
            throws InterruptedException {
        RuntimeException failure = null;
        for (TopicSpec spec : differing) {
            try {
                mend(admin, spec, allowed, done);
            } catch (RetriableException e) {
                throw e;
            } catch (RuntimeException e) {
                failure = failure == null ? e : failure;
            }
        }
        if (failure != null) {
            throw failure;
        }
    }

    /** Looks at the topic once more, since somebody else may have changed it. */
    private void mend(TopicAdmin admin, TopicSpec spec, Set<Remedy> allowed, List<TopicFinding> done)
            throws InterruptedException {
        Map<String, String> settings = new TreeMap<>();
        List<TopicFinding> set = new ArrayList<>();
        List<TopicFinding.PartitionCount> growing = new ArrayList<>();
        for (TopicFinding finding : compare(admin, List.of(spec))) {
            if (allowed.contains(finding.fix().by())) {
                if (finding instanceof TopicFinding.Setting setting) {
                    settings.put(setting.setting(), setting.wanted());
                    set.add(setting);
                } else if (finding instanceof TopicFinding.PartitionCount count) {
                    growing.add(count);
                }
            }
        }
        if (!settings.isEmpty()) {
            admin.set(spec.name(), settings);
            done.addAll(set);
        }
        for (TopicFinding.PartitionCount count : growing) {
            if (admin.grow(spec, count.wanted())) {
                done.add(count);
            }
        }
    }

    private static String soFar(List<TopicFinding> done) {
        return done.isEmpty()
                ? "Nothing is known to be changed; apply again when that is mended"
                : "Mended so far, and it stays: %s; apply again, it goes on from there"
                        .formatted(done.stream().map(Topics::told).collect(Collectors.joining(", ")));
    }

    /** Of a topic that has grown also what must follow, since the next plan does not know of it any more. */
    private static String told(TopicFinding done) {
        return done instanceof TopicFinding.PartitionCount ? done.text() : done.what();
    }

    private List<TopicSpec> missing(Set<String> existing) {
        return specs.stream().filter(spec -> !existing.contains(spec.name())).toList();
    }

    private List<TopicFinding> compare(TopicAdmin admin, List<TopicSpec> some) throws InterruptedException {
        Map<String, TopicComparison.Found> existing = admin.find(some);
        List<TopicFinding> findings = new ArrayList<>();
        for (TopicSpec spec : some) {
            TopicComparison.Found found = existing.get(spec.name());
            if (found == null) {
                findings.add(new TopicFinding.Missing(spec.name(), fixes.missing(spec)));
            } else {
                findings.addAll(TopicComparison.of(spec, found, fixes));
            }
        }
        return List.copyOf(findings);
    }
}
