package dev.eventbus.testkit;

import dev.eventbus.EncodedEvent;
import dev.eventbus.ErrorCode;
import dev.eventbus.Event;
import dev.eventbus.EventEncoder;
import dev.eventbus.EventLimits;
import dev.eventbus.EventPublisher;
import dev.eventbus.EventType;
import dev.eventbus.PublishFailedException;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.internal.Checks;
import dev.eventbus.internal.SizeLimits;
import dev.eventbus.outbox.ConnectionSource;
import dev.eventbus.outbox.Outbox;
import dev.eventbus.topics.TopicSpec;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * An outbox that writes nothing and remembers what was published: for unit tests of code that publishes.
 *
 * <pre>{@code
 * RecordingOutbox outbox = new RecordingOutbox();
 * new AssetService(outbox).rename(connection, "alice", "house");
 * assertThat(outbox.published(ASSET_UPDATED)).extracting(Event::key).containsExactly("alice");
 * }</pre>
 *
 * <p>It refuses what production refuses, with the same encoder and on the same connections: a missing or too long key, a payload
 * that is no JSON object, an event over {@link #maxEventBytes} or over what one of its {@link #topics} takes, a closed connection, one in
 * auto-commit mode, a connection source that lends none. It asks the connection only whether it is closed and in auto-commit mode, so a stub will
 * do. Ids and times are the same in every run, and in every outbox that is made by the constructor: what two of them recorded does not go onto one bus.
 *
 * <p>It locks no key: {@code lockKeys} only checks keys and connection. It cannot see how the transaction ends: what was published is remembered at once, and stays so after a roll-back. A test
 * that is about roll-back needs {@code JdbcOutbox} over a database, for instance H2. Thread-safe.
 */
public final class RecordingOutbox implements Outbox {

    private final SizeLimits limits;
    private final EventEncoder encoder = new EventEncoder();
    private final VirtualClock clock;
    private final EventIds ids;

    /** Guarded by "this". */
    private final List<Event<?>> published = new ArrayList<>();

    /** Guarded by "this". */
    private int commits;

    /** With the limits that production has by default. */
    public RecordingOutbox() {
        this.limits = new SizeLimits(EventLimits.MAX_EVENT_BYTES, Map.of());
        this.clock = new VirtualClock();
        this.ids = EventIds.ofOutbox(clock);
    }

    private RecordingOutbox(SizeLimits limits, RecordingOutbox other) {
        this.limits = limits;
        this.clock = other.clock;
        this.ids = other.ids;
    }

    /**
     * A new outbox with another limit for an event, as {@link dev.eventbus.outbox.JdbcOutbox#maxEventBytes(int)}. Default 1,000,000.
     *
     * @throws IllegalArgumentException if it is below 1
     */
    public RecordingOutbox maxEventBytes(int bytes) {
        return new RecordingOutbox(limits.withMaxEventBytes(Checks.atLeast("maxEventBytes", bytes, 1)), this);
    }

    /**
     * A new outbox with the topics whose {@code maxMessageBytes} may be smaller than {@link #maxEventBytes(int)}, as {@link
     * dev.eventbus.outbox.JdbcOutbox#topics(TopicSpec...)}. Default none.
     */
    public RecordingOutbox topics(TopicSpec... specs) {
        SizeLimits all = limits;
        for (TopicSpec spec : specs) {
            if (spec.maxMessageBytes().isPresent()) {
                all = all.withTopic(spec.name(), spec.maxMessageBytes().getAsInt());
            }
        }
        return new RecordingOutbox(all, this);
    }

    @Override
    public EventPublisher within(Connection connection) {
        return joining(work -> work.accept(connection));
    }

    @Override
    public EventPublisher joining(ConnectionSource connections) {
        return new Publisher(connections);
    }

    @Override
    public synchronized void committed() {
        commits++;
    }

    /** How often {@link #committed()} was called. */
    public synchronized int commits() {
        return commits;
    }

    /** All that was published, in order. */
    public synchronized List<Event<?>> published() {
        return List.copyOf(published);
    }

    /** What was published of one type, in order. */
    public <P> List<Event<P>> published(EventType<P> type) {
        return published().stream()
                .filter(event -> event.type().name().equals(type.name()))
                .map(event -> new Event<>(
                        event.id(),
                        type,
                        event.key(),
                        event.timestamp(),
                        type.payloadClass().cast(event.payload()),
                        event.headers()))
                .toList();
    }

    /** Forgets what was published so far. */
    public synchronized void clear() {
        published.clear();
        commits = 0;
    }

    private synchronized void remember(Collection<? extends Event<?>> events) {
        published.addAll(events);
    }

    private final class Publisher implements EventPublisher {

        private final ConnectionSource connections;

        private Publisher(ConnectionSource connections) {
            this.connections = connections;
        }

        @Override
        public <P> String publish(EventType<P> type, P payload) {
            Event<P> event = Event.of(type, ids.next(), clock.instant(), payload);
            publish(event);
            return event.id();
        }

        @Override
        public void publish(Event<?> event) {
            publishAll(List.of(event));
        }

        @Override
        public void publishAll(Collection<? extends Event<?>> events) {
            if (events.isEmpty()) {
                return;
            }
            List<Event<?>> all = List.copyOf(events);
            all.forEach(this::checkEvent);
            borrow(all.get(0), () -> remember(all));
        }

        @Override
        public void lockKeys(String... keys) {
            if (!EventEncoder.checkedKeys(keys).isEmpty()) {
                borrow(null, () -> {});
            }
        }

        /** @param event null if keys are to be locked */
        private void borrow(@Nullable Event<?> event, Runnable work) {
            AtomicInteger runs = new AtomicInteger();
            connections.with(connection -> {
                if (runs.incrementAndGet() != 1) {
                    throw refused(
                            ErrorCode.NO_TRANSACTION,
                            event,
                            "the connection source ran the work twice, or after it had returned. Run it once, before with() returns.");
                }
                checkConnection(connection, event);
                work.run();
            });
            if (runs.getAndSet(1) == 0) {
                throw refused(
                        ErrorCode.NO_TRANSACTION,
                        event,
                        "the connection source did not lend a connection: no transaction is active in this thread. Publish inside the transaction.");
            }
        }

        private void checkEvent(Event<?> event) {
            EncodedEvent encoded = encoder.encode(event);
            SizeLimits.Excess excess = limits.excess(encoded.topic(), encoded.sizeInBytes(), encoded.overheadInBytes());
            if (excess != null) {
                throw refused(
                        ErrorCode.EVENT_TOO_LARGE,
                        event,
                        "it has %,d bytes, %s. Publish less, or a reference to it, or %s."
                                .formatted(encoded.sizeInBytes(), excess.limit(), excess.fix()));
            }
        }

        private static void checkConnection(Connection connection, @Nullable Event<?> event) {
            try {
                if (connection.isClosed()) {
                    throw refused(
                            ErrorCode.NO_TRANSACTION,
                            event,
                            "its connection is closed. Publish before the transaction ends.");
                }
                if (connection.getAutoCommit()) {
                    throw refused(
                            ErrorCode.AUTO_COMMIT,
                            event,
                            "its connection is in auto-commit mode, where an event would be kept even if your change failed and a lock would end with its statement. Call setAutoCommit(false) before your first statement, or publish inside your framework's transaction.");
                }
            } catch (SQLException e) {
                throw new PublishFailedException(
                        typeOf(event),
                        event == null ? "" : event.id(),
                        "%s: its connection does not answer. Roll the transaction back.".formatted(notDone(event)),
                        e);
            }
        }

        private static PublishRefusedException refused(ErrorCode code, @Nullable Event<?> event, String why) {
            return new PublishRefusedException(
                    code, typeOf(event), "%s: %s This call recorded nothing.".formatted(notDone(event), why));
        }

        private static String typeOf(@Nullable Event<?> event) {
            return event == null ? "" : event.type().name();
        }

        private static String notDone(@Nullable Event<?> event) {
            return event == null ? "the keys were not locked" : "%s was not published".formatted(event);
        }
    }
}
