package dev.eventbus.consumer.inbox;

import dev.eventbus.internal.InterruptFlag;
import dev.eventbus.internal.RunLoop;
import dev.eventbus.topics.KafkaCluster;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Deletes a group's marks of the topics that a runner reads and of its dead letters that were discarded, and what is noted of its events' attempts, once no repeat of their events can come any more: those of events that are DONE, DEAD or SKIPPED for longer
 * than the topics and then the dead letters are kept by Kafka, plus 7 days for which a relay may be off; never before 14 days, nor
 * before {@link JdbcInbox#retention(Duration)}, if that is given. Age is told by the database's clock.
 *
 * <p>A runner with an inbox has one and runs it every 10 minutes, on a thread of its own; a minute after a pass that the database has refused, and two of those in a row are a problem. While Kafka does not say how long it keeps
 * the topics, or keeps one of them for ever, nothing is deleted. Marks of other topics are for the runners that read these, which know how
 * long they are kept.
 *
 * <p>Several may purge one group at a time. {@link #problem()} may be called from any thread, all else from one.
 */
public final class InboxPurge {

    /** How often. */
    public static final Duration PERIOD = Duration.ofMinutes(10);

    /** How soon after a pass that the database has refused. */
    private static final Duration AGAIN = Duration.ofMinutes(1);

    /** What a relay's {@code maxRelayStop} is by default; what was published before is not sent unasked. */
    static final Duration RELAY_STOP = Duration.ofDays(7);

    private static final Logger LOG = LoggerFactory.getLogger(InboxPurge.class);

    private static final Duration ANSWERS_WITHIN = Duration.ofSeconds(10);
    private static final long FOR_EVER = -1;

    /**
     * What one group reads.
     *
     * @param topics logical names
     * @param deadLetters logical name; null if the group has none
     */
    public record Reads(
            String group, Set<String> topics, @Nullable String deadLetters) {
        public Reads {
            topics = Set.copyOf(topics);
        }

        private Stream<String> withDeadLetters() {
            return Stream.concat(topics.stream(), Stream.ofNullable(deadLetters))
                    .distinct();
        }
    }

    private final JdbcInbox inbox;
    private final KafkaCluster kafka;
    private final Reads reads;
    private final RunLoop loop;
    private volatile @Nullable String problem;

    /** Whether the database refused the pass before; only the one thread uses it. */
    private boolean refused;

    private volatile boolean stopping;

    /** It does nothing yet. */
    public InboxPurge(JdbcInbox inbox, KafkaCluster kafka, Reads reads) {
        this.inbox = inbox;
        this.kafka = kafka;
        this.reads = reads;
        this.loop = new RunLoop("inbox purge " + reads.group(), this::pass, () -> {});
    }

    /** Starts it on a thread of its own; once. */
    public void start() {
        loop.start();
    }

    /** Asks it to end after the batch that it deletes now; returns at once. */
    public void stop() {
        stopping = true;
        loop.stop();
    }

    /** Waits until it has ended; whether it has. */
    public boolean awaitStopped(Duration limit) {
        return loop.awaitStopped(limit);
    }

    /** Why nothing is deleted, and what to do; null if all is well. */
    public @Nullable String problem() {
        return problem;
    }

    /**
     * One pass: all that is old enough, in transactions of 1,000 rows.
     *
     * @return how many marks were deleted
     * @throws SQLException if the database does not delete; what was deleted before stays deleted
     */
    public long runOnce() throws SQLException {
        Duration keep = keep();
        long deleted = 0;
        if (keep != null) {
            try {
                String topics =
                        reads.withDeadLetters().map(kafka::physicalTopic).collect(Collectors.joining(","));
                deleted = inbox.purge(new InboxSql.Aged(reads.group(), topics, keep), () -> stopping);
                // of events that nobody has ended: removed from the topic, or of a group gone by
                inbox.attempts().purge(reads.group(), keep);
                refused = false;
                problem = null;
            } catch (SQLException e) {
                problem = refused ? refusal(e) : null; // once may be a lock or a fail-over, and nothing to see to
                refused = true;
                throw e;
            }
        }
        if (deleted > 0) {
            LOG.debug("purged {} marks of {} older than {}", deleted, reads.group(), keep);
        }
        return deleted;
    }

    private Duration pass() {
        try (InterruptFlag ignored = InterruptFlag.kept()) { // the database's driver and transactions are the user's
            runOnce();
        } catch (SQLException e) {
            LOG.warn("{}: {}", reads.group(), refusal(e));
            return AGAIN;
        }
        return PERIOD;
    }

    private static String refusal(SQLException e) {
        return "the inbox is not purged: its database does not delete (SQLSTATE %s); nothing else suffers, and it is tried again in %s"
                .formatted(e.getSQLState(), AGAIN);
    }

    /** How long marks are kept; null if nothing may be deleted now, and then the problem says why. */
    private @Nullable Duration keep() {
        String before = problem;
        Duration needed;
        try {
            needed = needed();
        } catch (ExecutionException | TimeoutException | RuntimeException e) {
            Throwable cause = e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
            say(
                    before,
                    "the inbox is not purged: Kafka does not say how long it keeps %s (%s); it is asked again every %s and needs the ACL DescribeConfigs on them"
                            .formatted(reads.topics(), cause.getClass().getName(), PERIOD));
            return null;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return null;
        }
        if (needed == null) {
            problem = null;
            LOG.debug("the inbox of {} is not purged: a topic it reads, or its dead letters, are kept for ever", reads);
            return null;
        }
        Duration told = inbox.retention();
        if (told != null && told.compareTo(needed) < 0) {
            say(
                    before,
                    "the inbox is not purged: its retention of %s is less than the %s for which a repeat is possible (P5); say retention(…) of at least that, or let topics and dead letters be kept for less"
                            .formatted(told, needed));
            return null;
        }
        problem = refused ? problem : null;
        return told == null ? needed : told;
    }

    private void say(@Nullable String before, String now) {
        if (!now.equals(before)) {
            LOG.warn("{}: {}", reads.group(), now);
        }
        problem = now;
    }

    /** For how long a repeat is possible; null if for ever. */
    private @Nullable Duration needed() throws ExecutionException, InterruptedException, TimeoutException {
        List<ConfigResource> resources = reads.withDeadLetters()
                .map(topic -> new ConfigResource(ConfigResource.Type.TOPIC, kafka.physicalTopic(topic)))
                .toList();
        Map<ConfigResource, Config> configs;
        Admin admin = kafka.admin();
        try {
            configs = admin.describeConfigs(
                            resources, new DescribeConfigsOptions().timeoutMs((int) ANSWERS_WITHIN.toMillis()))
                    .all()
                    .get(ANSWERS_WITHIN.toMillis(), TimeUnit.MILLISECONDS);
        } finally {
            admin.close(Duration.ZERO);
        }
        long longest = 0;
        long letters = 0;
        for (Map.Entry<ConfigResource, Config> topic : configs.entrySet()) {
            long kept = keptMillis(topic.getValue());
            if (kept == FOR_EVER) {
                return null;
            }
            if (kafka.logicalTopic(topic.getKey().name()).equals(reads.deadLetters())) {
                letters = kept;
            } else {
                longest = Math.max(longest, kept);
            }
        }
        Duration needed = Duration.ofMillis(longest).plusMillis(letters).plus(RELAY_STOP);
        return needed.compareTo(JdbcInbox.LEAST_RETENTION) < 0 ? JdbcInbox.LEAST_RETENTION : needed;
    }

    private static long keptMillis(Config topic) {
        ConfigEntry cleanup = topic.get(TopicConfig.CLEANUP_POLICY_CONFIG);
        ConfigEntry retention = topic.get(TopicConfig.RETENTION_MS_CONFIG);
        boolean deletes = cleanup != null
                && cleanup.value() != null
                && cleanup.value().contains(TopicConfig.CLEANUP_POLICY_DELETE);
        long kept = deletes && retention != null && retention.value() != null
                ? Long.parseLong(retention.value())
                : FOR_EVER;
        return InboxSql.isForEver(Duration.ofMillis(kept)) ? FOR_EVER : kept;
    }
}
