package dev.eventbus.consumer.internal;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;

/**
 * Topics that this user may not read. Kafka's client throws for each answer that says so, in place of records of other topics; so such a
 * topic rests for a while before it is asked for again.
 *
 * <p>Poll thread only.
 */
public final class DeniedTopics {

    /** How long a topic rests before the cluster is asked for it again. */
    public static final Duration REST = Duration.ofSeconds(5);

    /** Since it was denied: whoever was asked again has answered by then. */
    private static final Duration FORGOTTEN_AFTER = REST.multipliedBy(2);

    private static final Duration ANSWERED_WITHIN = Duration.ofSeconds(1);

    /** @param epoch of the partition that had come last by then */
    private record Denial(Instant at, int epoch, String problem) {}

    private final InstantSource clock;
    private final Map<String, Denial> denials = new HashMap<>();

    public DeniedTopics(InstantSource clock) {
        this.clock = clock;
    }

    /**
     * The cluster has denied them, just now.
     *
     * @param topics physical names
     * @param problem what a person should know, in words
     * @param epoch grows with each partition that comes
     * @return whether that is news of one of them
     */
    public boolean add(Collection<String> topics, String problem, int epoch) {
        Denial now = new Denial(clock.instant(), epoch, problem);
        boolean news = false;
        for (String topic : topics) {
            news |= denials.put(topic, now) == null;
        }
        return news;
    }

    /** Whether nothing of the topic is to be asked for now. */
    public boolean isAtRest(String topic) {
        Denial denial = denials.get(topic);
        return denial != null && since(denial).compareTo(REST) < 0;
    }

    /**
     * Whether all of them rest for so long that no answer to what was asked before can be on its way. A partition that has come since is
     * asked for once before it rests too.
     *
     * @param epoch as above, now
     */
    public boolean haveRested(Collection<String> topics, int epoch) {
        return topics.stream().allMatch(topic -> {
            Denial denial = denials.get(topic);
            return denial != null
                    && denial.epoch() == epoch
                    && isAtRest(topic)
                    && since(denial).compareTo(ANSWERED_WITHIN) > 0;
        });
    }

    /** What a person should know, in words, until the cluster has not denied it again. */
    public List<String> problems() {
        denials.values().removeIf(denial -> since(denial).compareTo(FORGOTTEN_AFTER) >= 0);
        return List.copyOf(new LinkedHashSet<>(
                denials.values().stream().map(Denial::problem).toList()));
    }

    /** A clock that was set back makes no rest longer. */
    private Duration since(Denial denial) {
        Duration passed = Duration.between(denial.at(), clock.instant());
        return passed.isNegative() ? FORGOTTEN_AFTER : passed;
    }
}
