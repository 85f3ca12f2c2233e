package dev.eventbus.examples.quickstart;

import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.util.function.Consumer;

/** Watches the dead letters, and brings back what was set aside. */
final class Monitoring {

    private Monitoring() {}

    static ConsumerRunner runner(KafkaCluster kafka, Consumer<DeadLetter> alarm) {
        return ConsumerRunner.builder(kafka, "monitoring." + Events.DEAD_LETTERS)
                .onDeadLetters(Events.DEAD_LETTERS, (letter, delivery) -> alarm.accept(letter))
                .build();
    }

    // region: redrive
    static RedrivePlan plan(KafkaCluster kafka, JdbcInbox inbox) {
        return Redrive.of(kafka, "calculator.asset.events", Events.DEAD_LETTERS, inbox)
                .requestedBy("monitoring")
                .waits(Duration.ofSeconds(10)) // for what came of them
                .plan();
    }
    // end: redrive
}
