package dev.eventbus.benchmarks;

import dev.eventbus.EventType;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.topics.KafkaCluster;

/** Us, with the defaults unless it says so: one runner in this JVM. */
final class EventbusConsumer implements Consuming {

    /** Says how events of the type are handled. */
    @FunctionalInterface
    interface Wiring {
        ConsumerRunnerBuilder handle(ConsumerRunnerBuilder builder, EventType<AssetUpdated> type, Handler handler);
    }

    private final String name;
    private final int concurrency;
    private final Wiring wiring;

    private EventbusConsumer(String name, int concurrency, Wiring wiring) {
        this.name = name;
        this.concurrency = concurrency;
        this.wiring = wiring;
    }

    /** A handler with any effect, at least once. */
    static EventbusConsumer of(String name) {
        return new EventbusConsumer(
                name,
                ConsumerRunnerBuilder.DEFAULT_CONCURRENCY,
                (builder, type, handler) -> builder.on(
                        type,
                        (event, delivery) -> handler.handle(event.payload().number())));
    }

    EventbusConsumer concurrency(int handlers) {
        return new EventbusConsumer(name, handlers, wiring);
    }

    EventbusConsumer handling(Wiring other) {
        return new EventbusConsumer(name, concurrency, other);
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public Running start(Servers servers, Backlog backlog, String group, Handler handler) throws Exception {
        ConsumerRunner runner = runner(
                        KafkaCluster.at(servers.bootstrapServers()), group, backlog, servers.deadLetterTopic(), handler)
                .start();
        return new Running() {
            @Override
            public String describe() {
                return runner.health().toString();
            }

            @Override
            public void close() {
                runner.close();
            }
        };
    }

    ConsumerRunner runner(KafkaCluster kafka, String group, Backlog backlog, String deadLetters, Handler handler) {
        return wiring.handle(ConsumerRunner.builder(kafka, group), backlog.type(), handler)
                .concurrency(concurrency)
                .afterRetries(AfterRetries.deadLetter(deadLetters))
                .build();
    }
}
