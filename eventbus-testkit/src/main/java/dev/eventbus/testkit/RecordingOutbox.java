package dev.eventbus.testkit;

import dev.eventbus.EncodedEvent;
import dev.eventbus.ErrorCode;
import dev.eventbus.Event;
import dev.eventbus.EventDecoder;
import dev.eventbus.EventEncoder;
import dev.eventbus.EventLimits;
import dev.eventbus.EventPublisher;
import dev.eventbus.EventRecords;
import dev.eventbus.EventType;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.internal.Checks;
import dev.eventbus.internal.SizeLimits;
import dev.eventbus.outbox.ConnectionSource;
import dev.eventbus.outbox.Outbox;
import dev.eventbus.outbox.internal.PublishRequest;
import dev.eventbus.topics.TopicSpec;
import java.sql.Connection;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.record.TimestampType;

/**
 * An outbox that writes nothing and remembers what was published: for unit tests of code that publishes.
 *
 * <pre>{@code
 * RecordingOutbox outbox = new RecordingOutbox();
 * new AssetService(outbox).rename(connection, "alice", "house");
 * assertThat(outbox.published(ASSET_UPDATED)).extracting(Event::key).containsExactly("alice");
 * }</pre>
 *
 * <p>It refuses what production refuses without asking the database, with the same encoder and on the same connections: a missing or too long key, a payload
 * that is no JSON object, an event over {@link #maxEventBytes} or over what one of its {@link #topics} takes, a closed connection, one in
 * auto-commit mode, a connection source that lends none, keeps a failure to itself or hands the work to another thread. It asks the connection only
 * whether it is closed and in auto-commit mode, so a stub will do; an isolation level, {@code synchronous_commit} or a second {@code lockKeys} that production refuses goes unseen. Ids and times are the same in every run, and in every outbox that is made by the constructor: what two of them recorded does not go onto one bus.
 *
 * <p>A payload is remembered as it was written and would be read, so changing it later changes nothing here; one whose class does not read
 * back to what it writes is remembered as it was given. So {@link #published()} has copies: a payload whose class has no {@code equals} of
 * its own is not equal to the instance that was published; compare its fields.
 *
 * <p>It locks no key: {@code lockKeys} only checks keys and connection. It cannot see how the transaction ends: what was published is remembered at once, and stays so after a roll-back. A test
 * that is about roll-back needs {@code JdbcOutbox} over a database, for instance H2. Thread-safe.
 */
public final class RecordingOutbox implements Outbox {

    private final SizeLimits limits;
    private final boolean byDebezium;
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
        this.byDebezium = false;
        this.clock = new VirtualClock();
        this.ids = EventIds.ofOutbox(clock);
    }

    private RecordingOutbox(SizeLimits limits, boolean byDebezium, RecordingOutbox other) {
        this.limits = limits;
        this.byDebezium = byDebezium;
        this.clock = other.clock;
        this.ids = other.ids;
    }

    /**
     * A new outbox with another limit for an event, as {@link dev.eventbus.outbox.JdbcOutbox#maxEventBytes(int)}. Default 1,000,000.
     *
     * @throws IllegalArgumentException if it is below 1
     */
    public RecordingOutbox maxEventBytes(int bytes) {
        return new RecordingOutbox(
                limits.withMaxEventBytes(Checks.atLeast("maxEventBytes", bytes, 1)), byDebezium, this);
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
        return new RecordingOutbox(all, byDebezium, this);
    }

    /**
     * A new outbox that refuses events with headers of yours, as {@link dev.eventbus.outbox.JdbcOutbox#relayedByDebezium()} does. Default
     * off.
     */
    public RecordingOutbox relayedByDebezium() {
        return new RecordingOutbox(limits, true, this);
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

    private EncodedEvent encode(Event<?> event) {
        EncodedEvent encoded = encoder.encode(event);
        SizeLimits.Excess excess = limits.excess(encoded.topic(), encoded.sizeInBytes(), encoded.overheadInBytes());
        if (excess != null) {
            throw refused(
                    ErrorCode.EVENT_TOO_LARGE,
                    encoded,
                    "it has %,d bytes, %s. Publish less, or a reference to it, or %s."
                            .formatted(encoded.sizeInBytes(), excess.limit(), excess.fix()));
        }
        if (byDebezium && !encoded.headers().isEmpty()) {
            throw refused(
                    ErrorCode.HEADERS_NOT_CARRIED,
                    encoded,
                    "it has %d headers of yours, and Debezium would send it without them. Put what they say into the payload."
                            .formatted(encoded.headers().size()));
        }
        return encoded;
    }

    private static PublishRefusedException refused(ErrorCode code, EncodedEvent event, String why) {
        return new PublishRefusedException(
                code, event.type(), "%s was not published: %s This call recorded nothing.".formatted(event, why));
    }

    /** As it is now, whatever is done to its payload later; a payload that does not read back to what it wrote stays the one given. */
    private <P> Event<P> asWritten(Event<P> event, EncodedEvent written) {
        EventType<P> type = event.type();
        ProducerRecord<byte[], byte[]> record = EventRecords.of(written, written.topic(), 0);
        try {
            Event<?> read = new EventDecoder(List.of(type))
                    .decode(new ConsumerRecord<>(
                            written.topic(),
                            0,
                            0,
                            event.timestamp().toEpochMilli(),
                            TimestampType.CREATE_TIME,
                            ConsumerRecord.NULL_SIZE,
                            ConsumerRecord.NULL_SIZE,
                            record.key(),
                            record.value(),
                            record.headers(),
                            Optional.empty()));
            P payload = type.payloadClass().cast(read.payload());
            Event<P> copy = new Event<>(event.id(), type, event.key(), event.timestamp(), payload, event.headers());
            return Arrays.equals(encoder.encode(copy).value(), written.value()) ? copy : event;
        } catch (RuntimeException unreadable) {
            return event;
        }
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
            List<EncodedEvent> encoded = new ArrayList<>(events.size());
            List<Event<?>> written = new ArrayList<>(events.size());
            for (Event<?> event : events) {
                EncodedEvent one = encode(event);
                encoded.add(one);
                written.add(asWritten(event, one));
            }
            if (!encoded.isEmpty()) {
                borrow(new PublishRequest(encoded, 0), () -> remember(written));
            }
        }

        @Override
        public void lockKeys(String... keys) {
            List<String> asked = EventEncoder.checkedKeys(keys);
            if (!asked.isEmpty()) {
                borrow(new PublishRequest(List.of(), asked.size()), () -> {});
            }
        }

        private void borrow(PublishRequest request, Runnable work) {
            request.borrow(connections::with, "its connection", connection -> work.run());
        }
    }
}
