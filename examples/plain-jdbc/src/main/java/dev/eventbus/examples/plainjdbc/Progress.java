package dev.eventbus.examples.plainjdbc;

import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.Outcome;
import java.time.Duration;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** Says what the runner does, and waits for it. */
record Progress(Consumer<String> screen, Semaphore ended) implements RunnerListener {

    @Override
    public void handled(String eventType, Delivery delivery, Duration took) {
        end("handled", delivery);
    }

    @Override
    public void repeated(String eventType, Delivery delivery, Outcome known) {
        end("repeat", delivery);
    }

    private void end(String what, Delivery delivery) {
        screen.accept("  %-12s %s-%d@%d".formatted(what, delivery.topic(), delivery.partition(), delivery.offset()));
        ended.release();
    }

    void await(int events) throws InterruptedException {
        if (!ended.tryAcquire(events, 1, TimeUnit.MINUTES)) {
            throw new IllegalStateException("waited in vain for %d events".formatted(events));
        }
    }
}
