package dev.eventbus.examples.quickstart;

import static io.github.resilience4j.core.IntervalFunction.ofExponentialRandomBackoff;
import static java.time.Duration.ofMillis;
import static java.time.Duration.ofSeconds;

import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;

/** Drops a user's cached results when something of the user's changed: once per event, in the order of the user's events. */
final class Calculator {

    /** What the Calculator does about an event, in the transaction that it is given. */
    interface CachedResults {
        void drop(Connection transaction, Event<?> event, int attempt) throws Exception;
    }

    private Calculator() {}

    // region: consume
    static <P> ConsumerRunner runner(
            KafkaCluster kafka, JdbcInbox inbox, EventType<P> type, CachedResults results, RunnerListener listener) {
        return ConsumerRunner.builder(kafka, "calculator." + type.topic())
                .inTransaction(inbox, type, (event, tx) -> results.drop(tx.connection(), event, tx.attempt()))
                .retry(RetryConfig.custom()
                        .maxAttempts(4)
                        .intervalFunction(ofExponentialRandomBackoff(ofMillis(200), 2.0, 0.2, ofSeconds(10)))
                        .build())
                .afterRetries(AfterRetries.parkKey(inbox, Events.DEAD_LETTERS))
                .listener(listener)
                .build();
    }
    // end: consume
}
