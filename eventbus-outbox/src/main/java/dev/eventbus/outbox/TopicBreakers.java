package dev.eventbus.outbox;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.outbox.internal.Outage;
import dev.eventbus.topics.ClusterProbe;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import org.apache.kafka.common.errors.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * Which topics cannot be written to now. The events of such a topic stay in the outbox and are left out of the fetch; when its
 * time has come it is half open, and one event is tried. A topic that fails again soon after it took an event waits for longer
 * than before: one bad partition must not make it open and close all the time. One thread only.
 */
final class TopicBreakers {

    private static final Outage.Backoff BACKOFF = new Outage.Backoff(Duration.ofMillis(5), Duration.ofSeconds(30));

    /**
     * A topic of which nobody has said anything, as after each start of a producer, is asked for at least so often: that costs nothing, and
     * many starts in a minute, each for an event that was refused, must not keep all others waiting.
     */
    private static final Outage.Backoff WITHOUT_ANSWER =
            new Outage.Backoff(Duration.ofMillis(5), Duration.ofSeconds(1));

    /** A topic without an answer is no problem worth telling before this long. */
    private static final Duration SILENCE_TOLD_AFTER = Duration.ofMillis(1_500);

    /** How long a closed topic remembers its failures, and how long one that comes and goes is not told again. */
    private static final Duration PROBATION = Duration.ofMinutes(1);

    private static final long WARM_UP = Duration.ofMillis(250).toNanos();

    /**
     * What keeps a topic from being written to, in words.
     *
     * @param text cluster, address, what becomes of the events, the fix
     * @param definite whether the broker has said so; silence may just mean that it has not answered yet
     */
    record KafkaFault(String text, boolean definite) {

        /** @param probe of that cluster */
        static KafkaFault of(KafkaCluster kafka, String topic, Exception error, ClusterProbe probe) {
            // The client reports what the broker says about a topic as the cause of its own time-out.
            Throwable said = error instanceof TimeoutException && error.getCause() != null ? error.getCause() : error;
            boolean definite = !(said instanceof TimeoutException) || said instanceof Silence;
            String waiting =
                    "events of topic %s wait in the outbox and lose nothing".formatted(kafka.physicalTopic(topic));
            KafkaAccessException explained = probe.explain(said, kafka.physicalTopic(topic), waiting);
            return new KafkaFault(
                    explained.getMessage(),
                    definite
                            || explained.code() == ErrorCode.SPEAKS_TLS
                            || explained.code() == ErrorCode.SPEAKS_PLAINTEXT);
        }

        /** A partition took events and acknowledged none for too long. */
        static final class Silence extends TimeoutException {

            private static final long serialVersionUID = 1;

            Silence(String topic, Duration limit) {
                super("a partition of %s has acknowledged nothing for %d s".formatted(topic, limit.toSeconds()));
            }
        }
    }

    private static final class Breaker {
        Instant since;
        int failures;

        /** How often in a row nobody said anything; no failure of the topic's. */
        int unanswered;

        /** When the first of these was. */
        Instant unansweredSince = Instant.MIN;

        Instant retryAt = Instant.MIN;

        /** {@link System#nanoTime()} of the last failure. */
        long failedAt;

        String problem = "";

        /** When it has taken an event again; null while it has not. */
        @Nullable
        Instant closedAt;

        /** When people were told that it waits. */
        Instant toldAt = Instant.MIN;

        /** Whether they were told and not told since that it works again. */
        boolean told;

        Breaker(Instant since) {
            this.since = since;
        }

        boolean isClosed() {
            return closedAt != null;
        }

        boolean isUnanswered() {
            return unanswered > 0;
        }

        boolean mustWait(Instant now) {
            return (isUnanswered() ? WITHOUT_ANSWER : BACKOFF).mustWait(now, retryAt);
        }

        boolean isForgotten(Instant now) {
            return closedAt != null && !now.isBefore(closedAt.plus(PROBATION));
        }
    }

    private final InstantSource clock;

    /** Topics that fail, and those that did a short while ago. */
    private final Map<String, Breaker> breakers = new HashMap<>();

    private long warmUpEndsAt = System.nanoTime();

    TopicBreakers(InstantSource clock) {
        this.clock = clock;
    }

    /**
     * Opens a topic, or keeps it open for longer.
     *
     * @param problem what is wrong and how to mend it
     * @param definite whether somebody has said so; mere silence is a problem only after a while, and replaces what was said only then
     * @return when it is tried again
     */
    Instant failed(String topic, String problem, boolean definite) {
        Instant now = clock.instant();
        breakers.values().removeIf(breaker -> breaker.isForgotten(now));
        Breaker breaker = breakers.computeIfAbsent(topic, any -> new Breaker(now));
        if (breaker.isClosed() || now.isBefore(breaker.since)) { // the latter after the clock was set back
            breaker.closedAt = null;
            breaker.since = now;
        }
        breaker.unansweredSince =
                breaker.isUnanswered() && !now.isBefore(breaker.unansweredSince) ? breaker.unansweredSince : now;
        breaker.failures += definite ? 1 : 0;
        breaker.unanswered = definite ? 0 : breaker.unanswered + 1;
        breaker.failedAt = System.nanoTime();
        breaker.retryAt =
                now.plus(definite ? BACKOFF.after(breaker.failures) : WITHOUT_ANSWER.after(breaker.unanswered));
        Instant silentSince = breaker.problem.isEmpty() ? breaker.since : breaker.unansweredSince;
        Instant toldFrom = silentSince.plus(SILENCE_TOLD_AFTER);
        if (!definite && now.isBefore(toldFrom) && breaker.retryAt.isAfter(toldFrom)) {
            breaker.retryAt = toldFrom; // so that it is told then, and not after a back-off that has doubled meanwhile
        }
        boolean tell = definite || !now.isBefore(toldFrom);
        breaker.problem = tell ? problem : breaker.problem;
        return breaker.retryAt;
    }

    /** Makes an open topic half open before its back-off is over. */
    void tryNow(String topic) {
        Breaker breaker = breakers.get(topic);
        if (breaker != null && !breaker.isClosed()) {
            breaker.retryAt = clock.instant();
        }
    }

    /** Closes a topic that has taken an event, or has none. Returns whether it was not closed before. */
    boolean succeeded(String topic) {
        Breaker breaker = breakers.get(topic);
        if (breaker == null || breaker.isClosed()) {
            return false;
        }
        breaker.closedAt = clock.instant();
        breaker.unanswered = 0;
        breaker.problem = "";
        return true;
    }

    /** Whether a topic has failed since something was handed over so long ago, whose ack then says nothing of what it failed at. */
    boolean hasFailedWithin(String topic, long nanos) {
        Breaker breaker = breakers.get(topic);
        return breaker != null && System.nanoTime() - breaker.failedAt < nanos;
    }

    /** Whether people should be told now that a topic waits; true once, and not again soon. */
    boolean takeToldWaits(String topic) {
        Breaker breaker = breakers.get(topic);
        Instant now = clock.instant();
        if (breaker == null
                || breaker.problem.isEmpty()
                || breaker.told
                || breaker.toldAt.isAfter(now.minus(PROBATION)) && !breaker.toldAt.isAfter(now)) {
            return false;
        }
        breaker.told = true;
        breaker.toldAt = now;
        return true;
    }

    /** Whether people should be told now that a topic works again; true once, if they know that it waited. */
    boolean takeToldResumed(String topic) {
        Breaker breaker = breakers.get(topic);
        if (breaker == null || !breaker.told) {
            return false;
        }
        breaker.told = false;
        return true;
    }

    /** Forgets all of them; for a relay that has nothing to send any more. */
    void clear() {
        breakers.clear();
    }

    /** Whether no topic fails, nor did a short while ago. */
    boolean areClosed() {
        return breakers.isEmpty();
    }

    boolean isClosed(String topic) {
        Breaker breaker = breakers.get(topic);
        return breaker == null || breaker.isClosed();
    }

    /** Topics to leave out of the fetch. */
    Set<String> notClosed() {
        Set<String> notClosed = new HashSet<>();
        breakers.forEach((topic, breaker) -> {
            if (!breaker.isClosed()) {
                notClosed.add(topic);
            }
        });
        return notClosed;
    }

    /** Topics that are to be tried again now; a subset of {@link #notClosed()}. */
    Set<String> halfOpen() {
        Set<String> halfOpen = notClosed();
        if (!halfOpen.isEmpty()) {
            Instant now = clock.instant();
            halfOpen.removeIf(topic -> breaker(topic).mustWait(now));
        }
        return halfOpen;
    }

    private Breaker breaker(String topic) {
        return Objects.requireNonNull(breakers.get(topic));
    }

    /** Topics with a problem worth telling, each with the time of the next try. */
    SortedMap<String, Instant> waiting() {
        SortedMap<String, Instant> waiting = new TreeMap<>();
        for (String topic : notClosed()) {
            if (!breaker(topic).problem.isEmpty()) {
                waiting.put(topic, breaker(topic).retryAt);
            }
        }
        return Collections.unmodifiableSortedMap(waiting);
    }

    /** What a topic waits for, in words; empty if that is not worth telling. */
    String problem(String topic) {
        return breaker(topic).problem;
    }

    List<String> problems() {
        return waiting().keySet().stream()
                .map(topic -> breaker(topic).problem)
                .distinct()
                .toList();
    }

    Optional<Instant> nextRetry() {
        return notClosed().stream().map(topic -> breaker(topic).retryAt).min(Instant::compareTo);
    }

    /** Topics that were asked for and of which nobody has said anything yet. */
    Set<String> untold() {
        Set<String> untold = notClosed();
        untold.removeIf(topic -> !breaker(topic).problem.isEmpty());
        return untold;
    }

    /** A new producer has to find out about its topics. */
    void producerOpened() {
        warmUpEndsAt = System.nanoTime() + WARM_UP;
    }

    /**
     * Whether a producer was opened just now and does not know a topic yet. Without that topic the whole backlog would be searched
     * for events of others, so these wait too, for 250 ms at most.
     */
    boolean areWarmingUp() {
        return System.nanoTime() - warmUpEndsAt < 0 && !untold().isEmpty();
    }
}
