package dev.eventbus.testkit;

import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerHealth;
import dev.eventbus.consumer.RunnerHealth.PartitionHealth;
import dev.eventbus.consumer.RunnerHealth.Status;
import java.time.Instant;
import java.util.StringJoiner;
import org.jspecify.annotations.Nullable;

/** A consumer runner, driven by its rounds. */
record DrivenRunner(String name, ConsumerRunner runner) implements Driven {

    @Override
    public int runOnce() {
        return runner.runOnce();
    }

    @Override
    public @Nullable Instant nextDue() {
        return runner.health().nextRetry();
    }

    @Override
    public boolean isClosed() {
        return runner.health().status() == Status.STOPPED;
    }

    @Override
    public String describe() {
        RunnerHealth health = runner.health();
        StringJoiner lines = new StringJoiner("%n  - ".formatted());
        Instant next = health.nextRetry();
        lines.add("%s is %s: %d keys wait, %s"
                .formatted(
                        name,
                        health.status(),
                        health.waitingKeys(),
                        next == null ? "for no time" : "next try at " + next));
        health.problems().forEach(lines::add);
        for (PartitionHealth partition : health.partitions()) {
            if (partition.pausedBecause() != null) {
                lines.add("%s-%d is not read: %s"
                        .formatted(partition.topic(), partition.partition(), partition.pausedBecause()));
            }
        }
        return lines.toString();
    }

    @Override
    public void close() {
        runner.close();
    }
}
