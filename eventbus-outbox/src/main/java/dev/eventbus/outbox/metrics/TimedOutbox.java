package dev.eventbus.outbox.metrics;

import dev.eventbus.Event;
import dev.eventbus.EventPublisher;
import dev.eventbus.EventType;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.outbox.ConnectionSource;
import dev.eventbus.outbox.Outbox;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.sql.Connection;
import java.util.Collection;
import java.util.List;
import java.util.function.BiFunction;
import java.util.function.Supplier;

/**
 * An outbox whose publishers are timed.
 *
 * @param timers timer of an event type and an outcome
 */
record TimedOutbox(Outbox outbox, BiFunction<String, String, Timer> timers, MeterRegistry registry) implements Outbox {

    @Override
    public EventPublisher within(Connection connection) {
        return new TimedPublisher(outbox.within(connection));
    }

    @Override
    public EventPublisher joining(ConnectionSource connections) {
        return new TimedPublisher(outbox.joining(connections));
    }

    @Override
    public void committed() {
        outbox.committed();
    }

    /** Times each call that publishes something. */
    private final class TimedPublisher implements EventPublisher {

        private final EventPublisher publisher;

        TimedPublisher(EventPublisher publisher) {
            this.publisher = publisher;
        }

        @Override
        public <P> String publish(EventType<P> type, P payload) {
            return timed(type.name(), () -> publisher.publish(type, payload));
        }

        @Override
        public void publish(Event<?> event) {
            timed(event.type().name(), () -> {
                publisher.publish(event);
                return "";
            });
        }

        @Override
        public void publishAll(Collection<? extends Event<?>> events) {
            if (events.isEmpty()) {
                publisher.publishAll(events);
                return;
            }
            timed(typeOf(events), () -> {
                publisher.publishAll(events);
                return "";
            });
        }

        @Override
        public void lockKeys(String... keys) {
            publisher.lockKeys(keys);
        }

        private String timed(String type, Supplier<String> call) {
            Timer.Sample sample = Timer.start(registry);
            String outcome = "failed";
            try {
                String id = call.get();
                outcome = "success";
                return id;
            } catch (PublishRefusedException e) {
                outcome = "refused";
                throw e;
            } finally {
                sample.stop(timers.apply(type, outcome));
            }
        }

        private static String typeOf(Collection<? extends Event<?>> events) {
            List<String> types =
                    events.stream().map(event -> event.type().name()).distinct().toList();
            return types.size() == 1 ? types.get(0) : "mixed";
        }
    }
}
