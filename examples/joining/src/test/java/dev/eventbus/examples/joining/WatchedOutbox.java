package dev.eventbus.examples.joining;

import dev.eventbus.Event;
import dev.eventbus.EventPublisher;
import dev.eventbus.EventType;
import dev.eventbus.outbox.ConnectionSource;
import dev.eventbus.outbox.Outbox;
import java.sql.Connection;
import java.util.Collection;
import java.util.function.Consumer;

/** The real outbox, with something of the test's own after each publish and at each commit that it is told. */
final class WatchedOutbox implements Outbox {

    private final Outbox outbox;
    private final Consumer<Object> published;
    private final Runnable committed;

    /** @param published is given the payload, inside the transaction; what it throws, {@code publish} throws */
    WatchedOutbox(Outbox outbox, Consumer<Object> published, Runnable committed) {
        this.outbox = outbox;
        this.published = published;
        this.committed = committed;
    }

    @Override
    public EventPublisher within(Connection connection) {
        return new Publisher(outbox.within(connection));
    }

    @Override
    public EventPublisher joining(ConnectionSource connections) {
        return new Publisher(outbox.joining(connections));
    }

    @Override
    public void committed() {
        committed.run();
        outbox.committed();
    }

    private final class Publisher implements EventPublisher {

        private final EventPublisher publisher;

        Publisher(EventPublisher publisher) {
            this.publisher = publisher;
        }

        @Override
        public <P> String publish(EventType<P> type, P payload) {
            String id = publisher.publish(type, payload);
            published.accept(payload);
            return id;
        }

        @Override
        public void publish(Event<?> event) {
            publisher.publish(event);
        }

        @Override
        public void publishAll(Collection<? extends Event<?>> events) {
            publisher.publishAll(events);
        }

        @Override
        public void lockKeys(String... keys) {
            publisher.lockKeys(keys);
        }
    }
}
