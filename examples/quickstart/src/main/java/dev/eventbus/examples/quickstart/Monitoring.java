package dev.eventbus.examples.quickstart;

import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.topics.KafkaCluster;
import java.util.function.Consumer;

/** Watches the dead letters. */
final class Monitoring {

    private Monitoring() {}

    static ConsumerRunner runner(KafkaCluster kafka, Consumer<DeadLetter> alarm) {
        return ConsumerRunner.builder(kafka, "monitoring." + Events.DEAD_LETTERS)
                .onDeadLetters(Events.DEAD_LETTERS, (letter, delivery) -> alarm.accept(letter))
                .build();
    }
}
