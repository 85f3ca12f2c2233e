package dev.eventbus.testkit;

import static io.github.resilience4j.core.IntervalFunction.ofExponentialRandomBackoff;
import static java.time.Duration.ofHours;
import static java.time.Duration.ofMillis;

import dev.eventbus.EventType;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.retry.RetryConfig;
import java.util.function.Consumer;

/** A service as a user writes it: it knows nothing of the kit. */
final class Calculator {

    record AssetUpdated(String userId, Integer amount) {}

    static final EventType<AssetUpdated> ASSET_UPDATED = EventType.of("ASSET_UPDATED", AssetUpdated.class)
            .topic("asset.events")
            .key(AssetUpdated::userId);

    static final String GROUP = "calculator.asset.events";

    private Calculator() {}

    static ConsumerRunner runner(KafkaCluster kafka, Consumer<String> evict) {
        return ConsumerRunner.builder(kafka, GROUP)
                .on(ASSET_UPDATED, (event, delivery) -> evict.accept(event.key()))
                .retry(RetryConfig.custom()
                        .maxAttempts(4)
                        .intervalFunction(ofExponentialRandomBackoff(ofMillis(200), 2.0, 0.5, ofHours(1)))
                        .build())
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }
}
