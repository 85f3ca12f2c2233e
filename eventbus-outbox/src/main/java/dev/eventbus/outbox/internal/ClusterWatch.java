package dev.eventbus.outbox.internal;

import dev.eventbus.internal.NamedThreads;
import dev.eventbus.topics.ClusterProbe;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.LongSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Asks the cluster now and then whether it answers while nothing is sent that would show it: a producer alone waits in silence for a
 * closed port. The answer is looked at in a later round, so no round waits for it; the client, whose making and closing may wait for a name
 * server, is made and closed on a thread of its own, and not before the first question, unless that is for a topic.
 *
 * <p>One thread.
 */
public final class ClusterWatch {

    private static final Logger LOG = LoggerFactory.getLogger(ClusterWatch.class);

    private static final int TIMEOUT_MILLIS = 5_000;
    private static final long QUIET = Duration.ofSeconds(3).toNanos();
    private static final long PERIOD = Duration.ofSeconds(10).toNanos();
    private static final long PERIOD_IN_TROUBLE = Duration.ofSeconds(2).toNanos();

    /** A cluster that is well has answered by then. */
    private static final long SOON = Duration.ofMillis(500).toNanos();

    private static final String DATA = "events wait in the outbox and lose nothing";

    private final KafkaCluster kafka;
    private final LongSupplier nanoTime;
    private final ClusterProbe probe;

    private @Nullable CompletableFuture<Admin> admin;
    private @Nullable CompletableFuture<?> asked;
    private long askedAt;

    /** Not before this is it asked. */
    private long dueAt;

    /** A cluster in memory has nobody to ask. */
    private boolean off;

    private String problem = "";

    public ClusterWatch(KafkaCluster kafka, LongSupplier nanoTime) {
        this.kafka = kafka;
        this.nanoTime = nanoTime;
        this.probe = new ClusterProbe(kafka);
        this.dueAt = nanoTime.getAsLong() + QUIET;
    }

    /** The cluster has just shown that it is there. */
    public void heard() {
        dueAt = nanoTime.getAsLong() + QUIET;
        asked = null;
        probe.forget();
        now("");
    }

    /**
     * Looks after the cluster without waiting.
     *
     * @param quiet whether nothing is under way that would show whether it is there
     */
    public void look(boolean quiet) {
        long now = nanoTime.getAsLong();
        CompletableFuture<?> answer = asked;
        if (answer != null && answer.isDone()) {
            asked = null;
            answered(answer);
            dueAt = now + (problem.isEmpty() ? PERIOD : PERIOD_IN_TROUBLE);
        } else if (answer != null && now - askedAt >= SOON) { // the client itself goes on for seconds
            probe.ask();
            probe.problem(DATA).ifPresent(found -> now(String.valueOf(found.getMessage())));
        } else if (answer == null && quiet && !off && now - dueAt >= 0) {
            askedAt = now;
            asked = ask();
        }
    }

    private CompletableFuture<?> ask() {
        return client().thenCompose(open -> open.describeCluster(new DescribeClusterOptions().timeoutMs(TIMEOUT_MILLIS))
                .nodes()
                .toCompletionStage());
    }

    /**
     * Asks for a topic; what the answer is, is seen later. Where there is nobody to ask, it is there.
     *
     * @throws RuntimeException if the client cannot be made, which is tried here: it takes no longer than to make a producer
     */
    public CompletableFuture<?> find(String physicalTopic) {
        if (admin == null && !off) {
            try {
                admin = CompletableFuture.completedFuture(kafka.admin());
            } catch (UnsupportedOperationException e) {
                off = true;
            }
        }
        return off
                ? CompletableFuture.completedFuture(null)
                : client().thenCompose(open -> open.describeTopics(
                                List.of(physicalTopic), new DescribeTopicsOptions().timeoutMs(TIMEOUT_MILLIS))
                        .allTopicNames()
                        .toCompletionStage());
    }

    private CompletableFuture<Admin> client() {
        CompletableFuture<Admin> client = admin;
        if (client == null || client.isCompletedExceptionally()) {
            client = open();
            admin = client;
        }
        return client;
    }

    private CompletableFuture<Admin> open() {
        return CompletableFuture.supplyAsync(kafka::admin, this::aside);
    }

    private void aside(Runnable work) {
        Thread thread = new NamedThreads("eventbus-watch-" + kafka.name()).newThread(work);
        thread.setDaemon(true);
        thread.start();
    }

    private void answered(CompletableFuture<?> answer) {
        Throwable failure = answer.handle((nodes, e) -> e).join();
        Throwable cause =
                failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
        if (cause == null) {
            probe.forget();
            now("");
        } else if (cause instanceof UnsupportedOperationException) {
            off = true;
        } else {
            now(String.valueOf(probe.explain(cause, DATA).getMessage()));
            closeAdmin(); // its thread may have ended, which nobody says
        }
    }

    private void now(String found) {
        if (found.equals(problem)) {
            return;
        }
        problem = found;
        if (found.isEmpty()) {
            LOG.info("Cluster {} answers", kafka.name());
        } else {
            LOG.warn("{}", found);
        }
    }

    /** What keeps events from going there if there were any, with the fix. */
    public Optional<String> problem() {
        return problem.isEmpty() ? Optional.empty() : Optional.of(problem);
    }

    /** Ends it, without waiting for an answer. */
    public void close() {
        off = true;
        closeAdmin();
    }

    private void closeAdmin() {
        if (admin != null) {
            var unused = admin.thenAcceptAsync(
                    open -> open.close(Duration.ZERO), this::aside); // it joins the client's thread
            admin = null;
        }
    }
}
