package dev.eventbus.outbox.internal;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Function;
import org.apache.kafka.common.errors.TimeoutException;

/**
 * Asks beside the relay whether a topic is there. A producer must not be asked for one that is not: where brokers make topics by themselves,
 * as they do by default, its question makes it, with their number of partitions and replicas.
 *
 * <p>One thread.
 */
public final class TopicLookup {

    private final Function<String, CompletableFuture<?>> ask;
    private final Map<String, CompletableFuture<?>> answers = new HashMap<>();

    /** @param ask for a physical topic; completes exceptionally if it is not there, or cannot be asked for */
    public TopicLookup(Function<String, CompletableFuture<?>> ask) {
        this.ask = ask;
    }

    /**
     * Returns if the topic is there.
     *
     * @throws TimeoutException if that is not known yet
     * @throws RuntimeException what the cluster says; the next call asks again
     */
    public void require(String physicalTopic) {
        CompletableFuture<?> answer = answers.computeIfAbsent(physicalTopic, ask);
        if (!answer.isDone()) {
            throw new TimeoutException("nobody has said yet whether topic %s is there".formatted(physicalTopic));
        }
        if (answer.isCompletedExceptionally()) {
            answers.remove(physicalTopic);
            throw failure(answer);
        }
    }

    /** Nobody wants to know any more; a late answer must not be taken for news when somebody does again. */
    public void forget() {
        answers.clear();
    }

    /** Whether what was asked for last is not answered yet. */
    public boolean isPending(String physicalTopic) {
        CompletableFuture<?> answer = answers.get(physicalTopic);
        return answer != null && !answer.isDone();
    }

    /** Whether the last answer is that there is no such topic, or none that we may see. */
    public boolean isRefused(String physicalTopic) {
        CompletableFuture<?> answer = answers.get(physicalTopic);
        return answer != null && answer.isCompletedExceptionally();
    }

    private static RuntimeException failure(CompletableFuture<?> answer) {
        Throwable thrown = answer.handle((there, e) -> e).join();
        Throwable cause =
                thrown instanceof CompletionException && thrown.getCause() != null ? thrown.getCause() : thrown;
        return cause instanceof RuntimeException exception ? exception : new CompletionException(cause);
    }
}
