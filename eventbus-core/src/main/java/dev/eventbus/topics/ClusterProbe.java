package dev.eventbus.topics;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.internal.NamedThreads;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.common.KafkaException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Finds out in the background what keeps this process from a cluster whose clients only time out: nobody listens, or one side speaks TLS
 * and the other does not; and which topic may be meant by a name that no topic has. For relay and runner, whose rounds never wait; nothing
 * here does. Thread-safe. A question is over within some seconds, on a daemon thread that ends with it.
 */
public final class ClusterProbe {

    private static final Logger LOG = LoggerFactory.getLogger(ClusterProbe.class);

    /** Nobody is asked again so soon after an answer. */
    private static final Duration STANDS_FOR = Duration.ofSeconds(2);

    /** An answer that was not asked for again tells nothing after so long. */
    private static final Duration FORGOTTEN_AFTER = Duration.ofSeconds(10);

    /** How long the topics' names count as known; people correct a name more slowly than that. */
    private static final Duration NAMES_STAND_FOR = Duration.ofSeconds(30);

    private static final int NAMES_TIMEOUT_MILLIS = 5_000;

    private final KafkaCluster kafka;
    private final BrokerProbe probe;
    private final ThreadFactory threads;
    private final AtomicBoolean asking = new AtomicBoolean();

    private final AtomicBoolean listing = new AtomicBoolean();

    /** Of the topics that this user may see; none before they are known. */
    private volatile Set<String> names = Set.of();

    /** Local time; written by the thread that asks, before it ends. */
    private volatile long listedAt = System.nanoTime() - NAMES_STAND_FOR.toNanos();

    private volatile Optional<BrokerProbe.Finding> finding = Optional.empty();

    /** Local time; written by the thread that asks, before it ends. */
    private volatile long answeredAt = System.nanoTime() - STANDS_FOR.toNanos();

    public ClusterProbe(KafkaCluster kafka) {
        this.kafka = kafka;
        this.probe = BrokerProbe.of(kafka);
        this.threads = new NamedThreads("eventbus-probe-" + kafka.name());
    }

    /**
     * As {@link KafkaFaults#explain(KafkaCluster, Throwable, String)}; if the client can only say that nobody has answered, it is asked why,
     * and the answer is in a later explanation.
     *
     * @param whatBecomesOfTheData a clause, for instance {@code "the events wait in the outbox"}
     */
    public KafkaAccessException explain(Throwable failure, String whatBecomesOfTheData) {
        KafkaAccessException explained = KafkaFaults.explain(kafka, failure, whatBecomesOfTheData);
        if (explained.code() != ErrorCode.NO_ANSWER) {
            return explained;
        }
        ask();
        return problem(whatBecomesOfTheData).orElse(explained);
    }

    /**
     * As {@link #explain(Throwable, String)}, of a topic; if that is missing, the cluster is asked which ones there are, and one of a similar
     * name is in a later explanation.
     *
     * @param topic as the cluster would name it
     */
    public KafkaAccessException explain(Throwable failure, String topic, String whatBecomesOfTheData) {
        KafkaAccessException explained = explain(failure, whatBecomesOfTheData);
        if (explained.code() != ErrorCode.TOPIC_MISSING) {
            return explained;
        }
        list();
        return KafkaFaults.missing(kafka, failure, topic, names, whatBecomesOfTheData);
    }

    private void list() {
        if (System.nanoTime() - listedAt >= NAMES_STAND_FOR.toNanos()) {
            inBackground(listing, this::findNames);
        }
    }

    private void findNames() {
        Set<String> found = Set.of();
        try (Admin admin = kafka.admin()) {
            found = admin.listTopics(new ListTopicsOptions().timeoutMs(NAMES_TIMEOUT_MILLIS))
                    .names()
                    .get();
        } catch (ExecutionException | KafkaException | UnsupportedOperationException e) {
            LOG.debug("cluster {} does not tell its topics: {}", kafka.name(), e.toString());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            names = found;
            listedAt = System.nanoTime();
            listing.set(false);
        }
    }

    /** Begins to ask, unless that is under way, or was done just now, or there is no address to ask. */
    public void ask() {
        if (probe.hasAddresses() && System.nanoTime() - answeredAt >= STANDS_FOR.toNanos()) {
            inBackground(asking, this::find);
        }
    }

    /** @param running whether it is under way; the question itself says when it is over */
    private void inBackground(AtomicBoolean running, Runnable question) {
        if (!running.compareAndSet(false, true)) {
            return;
        }
        try {
            Thread thread = threads.newThread(question);
            thread.setDaemon(true);
            thread.start();
        } catch (RuntimeException | Error e) { // no thread can be had now
            running.set(false);
            throw e;
        }
    }

    private void find() {
        Optional<BrokerProbe.Finding> found = Optional.empty();
        try {
            found = probe.ask();
        } finally {
            finding = found;
            answeredAt = System.nanoTime();
            asking.set(false);
        }
    }

    /**
     * What the last answer was.
     *
     * @return empty if a broker answered as the client expects, if nothing certain is known, and before the first answer
     */
    public Optional<KafkaAccessException> problem(String whatBecomesOfTheData) {
        return System.nanoTime() - answeredAt > FORGOTTEN_AFTER.toNanos()
                ? Optional.empty()
                : finding.map(found -> KafkaFaults.explain(kafka, found, whatBecomesOfTheData, null));
    }

    /** A broker has answered the client: what was found before counts no more. */
    public void forget() {
        finding = Optional.empty();
    }
}
