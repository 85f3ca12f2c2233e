package dev.eventbus.consumer.internal;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.topics.ClusterProbe;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.KafkaFaults;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Asks the cluster now and then whether it answers and has the topics: a consumer alone waits in silence for a closed port
 * or a missing topic. The answer is looked at in a later round, so no round waits for it.
 *
 * <p>One thread.
 */
public final class TopicWatch implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(TopicWatch.class);

    private static final int TIMEOUT_MILLIS = 5_000;
    private static final Duration PERIOD = Duration.ofSeconds(30);
    private static final Duration PERIOD_IN_TROUBLE = Duration.ofSeconds(2);

    /** A cluster that is well has answered by then. */
    private static final Duration SOON = Duration.ofMillis(500);

    private final KafkaCluster kafka;
    private final String group;
    private final String data;
    private final List<String> topics;
    private final @Nullable LetterCleanup cleanup;

    /** What a setting makes wrong: that changes less often than what is away. */
    private String lasting = "";

    private final ClusterProbe probe;

    private @Nullable Admin admin;
    private Map<String, KafkaFuture<TopicDescription>> asked = Map.of();
    private Instant askedAt = Instant.MIN;
    private Instant due = Instant.MIN;
    private boolean hasNothingToAsk;
    private List<String> problems = List.of();

    /**
     * @param topics physical names of what is read
     * @param letters physical name of the dead-letter topic; null if there is none
     * @param data what becomes of the events, a clause
     */
    public TopicWatch(
            KafkaCluster kafka, String group, Collection<String> topics, @Nullable String letters, String data) {
        this.kafka = kafka;
        this.group = group;
        this.data = data;
        Set<String> all = new LinkedHashSet<>(topics);
        if (letters != null) {
            all.add(letters);
        }
        this.topics = List.copyOf(all);
        this.cleanup = letters == null ? null : new LetterCleanup(letters);
        this.probe = new ClusterProbe(kafka);
    }

    /** Looks after the cluster without waiting, and says what is wrong, in words. */
    public List<String> look(Instant now) {
        if (!asked.isEmpty()
                && asked.values().stream().allMatch(KafkaFuture::isDone)
                && (cleanup == null || cleanup.hasAnswer())) {
            answered();
            due = now.plus(problems.stream().allMatch(lasting::equals) ? PERIOD : PERIOD_IN_TROUBLE);
        } else if (!asked.isEmpty()
                && (now.isBefore(askedAt)
                        || !now.isBefore(askedAt.plus(SOON)))) { // the client itself goes on for seconds
            probe.ask();
            probe.problem(data).ifPresent(found -> now(List.of(found.getMessage())));
        }
        boolean isTime = !now.isBefore(due) || due.isAfter(now.plus(PERIOD)); // the clock was set back
        if (asked.isEmpty() && isTime && !hasNothingToAsk) {
            ask(now);
        }
        return problems;
    }

    private void ask(Instant now) {
        try {
            if (admin == null) {
                admin = kafka.admin();
            }
            asked = admin.describeTopics(topics, new DescribeTopicsOptions().timeoutMs(TIMEOUT_MILLIS))
                    .topicNameValues();
            if (cleanup != null) {
                cleanup.ask(admin, TIMEOUT_MILLIS);
            }
            askedAt = now;
        } catch (KafkaException e) {
            due = now.plus(PERIOD_IN_TROUBLE);
            now(List.of(probe.explain(e, data).getMessage()));
        } catch (UnsupportedOperationException e) {
            hasNothingToAsk = true; // a cluster in memory
        }
    }

    private void answered() {
        Map<String, String> found = new LinkedHashMap<>();
        asked.forEach((topic, answer) -> {
            Throwable failure = failureOf(answer);
            if (failure == null || KafkaFaults.explain(kafka, failure, data).code() != ErrorCode.NO_ANSWER) {
                probe.forget();
            }
            if (failure != null) {
                String text = probe.explain(failure, topic, data).getMessage();
                found.merge(text, "'" + topic + "'", (one, other) -> one + ", " + other);
            }
        });
        asked = Map.of();
        String unreachable =
                probe.problem(data).map(KafkaAccessException::getMessage).orElse("");
        List<String> texts = new ArrayList<>();
        found.forEach(
                (text, names) -> texts.add(text.equals(unreachable) ? text : "topic %s: %s".formatted(names, text)));
        lasting = cleanup == null ? "" : cleanup.problem().orElse("");
        if (!lasting.isEmpty()) {
            texts.add(lasting);
        }
        now(texts);
    }

    private static @Nullable Throwable failureOf(KafkaFuture<TopicDescription> answer) {
        return answer.toCompletionStage()
                .handle((description, e) -> e)
                .toCompletableFuture()
                .join();
    }

    private void now(List<String> found) {
        if (found.equals(problems)) {
            return;
        }
        problems = found;
        for (String problem : found) {
            LOG.warn("{}: {}", group, problem);
        }
        if (found.isEmpty()) {
            LOG.info("{}: the cluster answers and has the topics", group);
        }
    }

    @Override
    public void close() {
        if (admin != null) {
            admin.close(Duration.ZERO);
        }
    }
}
