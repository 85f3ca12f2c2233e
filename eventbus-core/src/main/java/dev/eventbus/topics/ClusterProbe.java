package dev.eventbus.topics;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.internal.NamedThreads;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Finds out in the background what keeps this process from a cluster whose clients only time out: nobody listens, or one side speaks TLS
 * and the other does not. For relay and runner, whose rounds never wait; nothing here does. Thread-safe. A question is over within some
 * seconds, on a daemon thread that ends with it.
 */
public final class ClusterProbe {

    /** Nobody is asked again so soon after an answer. */
    private static final Duration STANDS_FOR = Duration.ofSeconds(2);

    /** An answer that was not asked for again tells nothing after so long. */
    private static final Duration FORGOTTEN_AFTER = Duration.ofSeconds(10);

    private final KafkaCluster kafka;
    private final BrokerProbe probe;
    private final ThreadFactory threads;
    private final AtomicBoolean asking = new AtomicBoolean();

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

    /** Begins to ask, unless that is under way, or was done just now, or there is no address to ask. */
    public void ask() {
        if (!probe.hasAddresses()
                || System.nanoTime() - answeredAt < STANDS_FOR.toNanos()
                || !asking.compareAndSet(false, true)) {
            return;
        }
        try {
            Thread thread = threads.newThread(this::find);
            thread.setDaemon(true);
            thread.start();
        } catch (RuntimeException | Error e) { // no thread can be had now
            asking.set(false);
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
