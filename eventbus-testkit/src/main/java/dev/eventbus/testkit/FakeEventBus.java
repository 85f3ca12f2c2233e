package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.DecodeException;
import dev.eventbus.EncodedEvent;
import dev.eventbus.Event;
import dev.eventbus.EventDecoder;
import dev.eventbus.EventEncoder;
import dev.eventbus.EventRecords;
import dev.eventbus.EventType;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.internal.Checks;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/**
 * An in-memory cluster in virtual time on which a service's own production builders run: for unit tests without Kafka, without a
 * database, without sleeping.
 *
 * <pre>{@code
 * try (var bus = FakeEventBus.create()) {
 *   bus.start(Calculator.runner(bus.kafka(), evicted::add));    // built as in production, on another KafkaCluster
 *   bus.publish(ASSET_UPDATED, updated("bob", 1), updated("alice", 1));
 *   bus.runUntilIdle();                                         // retries of hours take microseconds
 *   assertThat(evicted).containsExactly("bob", "alice");
 *   assertThat(bus.deadLetters()).isEmpty();
 * }
 * }</pre>
 *
 * <p>What runs is the engine of production: only the edge to Kafka and the clock are replaced. Partitions, groups, offsets,
 * retries, dead letters and their order are as on a broker; a record goes through the same encoder. Handlers run in the calling
 * thread, inside {@link #runUntilIdle()} and {@link #advance(Duration)}.
 *
 * <p>Topics are made on first use with 3 partitions, see {@link #topic(String, int)}. If the code under test sets a prefix, the bus is
 * made by {@link #withTopicPrefix}, or what it publishes goes where nobody reads. Time begins at 2030-01-01T00:00:00Z and moves only in
 * those two methods. Ids of what is published here are the same in every run, so a bus that finds an inbox of another one in its
 * database has handled its events already: give each bus a database, or a group, of its own.
 *
 * <p>Used by one thread at a time. {@link #close()} closes what was started.
 */
public final class FakeEventBus implements AutoCloseable {

    private final InMemoryKafka kafka;
    private final InMemoryBroker broker;
    private final VirtualLoop loop;
    private final Faults faults;
    private final EventEncoder encoder = new EventEncoder();
    private final EventIds ids;

    private FakeEventBus(InMemoryKafka kafka, @Nullable Long seed) {
        this.kafka = kafka;
        this.broker = kafka.broker();
        this.loop = new VirtualLoop(kafka.clock(), broker, seed);
        this.faults = new Faults(broker, kafka::physicalTopic);
        this.ids = EventIds.ofBus(kafka.clock());
    }

    /** A new, empty bus. */
    public static FakeEventBus create() {
        return new FakeEventBus(InMemoryKafka.create(), null);
    }

    /**
     * A new, empty bus on which runners and relays make their passes in an order that the seed decides, some more often than others: for tests
     * that try many interleavings, and one that failed again.
     *
     * <pre>{@code
     * for (long seed = 0; seed < 1_000; seed++) {
     *     try (FakeEventBus bus = FakeEventBus.seeded(seed)) { ... assertThat(...).as("seed %d", seed)... }
     * }
     * }</pre>
     *
     * <p>The same seed gives the same run, if nothing else is left to chance: a random back-off is, as the default one, and the leases of
     * relays, which are on their database's clock.
     */
    public static FakeEventBus seeded(long seed) {
        return new FakeEventBus(InMemoryKafka.create(), seed);
    }

    /**
     * A new, empty bus for code that calls {@link KafkaCluster#topicPrefix}: all that is published, asked for or goes wrong here is told by
     * the name of the topic without the prefix. Records that are handed in or out have the whole name. {@link #kafka()} has the prefix
     * too.
     *
     * @throws IllegalArgumentException for a prefix that no topic can have
     */
    public static FakeEventBus withTopicPrefix(String topicPrefix) {
        return new FakeEventBus(InMemoryKafka.create().topicPrefix(topicPrefix), null);
    }

    /** The cluster to build runners and relays on. */
    public KafkaCluster kafka() {
        return kafka;
    }

    /**
     * Makes a topic, or gives it more partitions.
     *
     * @throws IllegalArgumentException if it has more already: a topic never loses partitions
     */
    public FakeEventBus topic(String name, int partitions) {
        broker.createOrGrow(kafka.physicalTopic(Checks.topicName("topic", name)), partitions);
        return this;
    }

    // ---- what runs

    /**
     * Takes a runner that was built on {@link #kafka()} and has not been started. Several of one group share its partitions. A
     * runner that the test closes is let go.
     */
    public ConsumerRunner start(ConsumerRunner runner) {
        loop.addMortal(number -> new DrivenRunner("runner " + number, runner));
        return runner;
    }

    /** Takes a relay that was built on {@link #kafka()} and has not been started. A relay that the test closes is let go. */
    public OutboxRelay start(OutboxRelay relay) {
        loop.add(number -> new DrivenRelay("relay " + number, relay));
        return relay;
    }

    /**
     * Runs all that was started until nothing is to do and nothing waits. Where all wait for time, as for a retry, the clock jumps
     * there.
     *
     * @throws AssertionError if that does not happen within 100,000 rounds or a year of virtual time, as when a dead-letter topic
     *     cannot be written; the message says who waits for what
     */
    public void runUntilIdle() {
        loop.runUntilIdle();
    }

    /** From now on a crash ends all runners, and then does this. */
    void afterCrash(Runnable then) {
        loop.afterCrash(then);
    }

    /** A crash that has not come about is wanted no more. */
    void forgetCrash() {
        broker.crashes().forget();
    }

    /** How often runners have come to a point where they can crash. */
    int reached(CrashPoint point) {
        return broker.crashes().reached(point);
    }

    /** As {@link #runUntilIdle()}, but only until a condition holds. */
    void runUntil(String what, BooleanSupplier condition) {
        loop.runUntil(what, condition);
    }

    /** Lets time pass: what is due in it runs, each at its time. */
    public void advance(Duration duration) {
        loop.runFor(duration);
    }

    /** The virtual time. */
    public Instant now() {
        return kafka.clock().instant();
    }

    // ---- what goes in

    /**
     * Puts events on their topic, as the relay would, under ids of the bus's own and the virtual time.
     *
     * @return the events, with their ids
     * @throws dev.eventbus.PublishRefusedException for what no consumer could read, as in production. What an outbox refuses by its own {@code
     *     maxEventBytes} or {@code topics} is taken: the bus knows no outbox, {@link RecordingOutbox} does
     */
    @SafeVarargs
    public final <P> List<Event<P>> publish(EventType<P> type, P... payloads) {
        List<Event<P>> events = new ArrayList<>();
        for (P payload : payloads) {
            Event<P> event = Event.of(type, ids.next(), now(), payload);
            publish(event);
            events.add(event);
        }
        return events;
    }

    /** As {@link #publish(EventType, Object[])}, whole events: with ids, times and headers of the test's choice. */
    public void publish(Event<?>... events) {
        for (Event<?> event : events) {
            EncodedEvent encoded = encoder.encode(event);
            String topic = kafka.physicalTopic(encoded.topic());
            append(EventRecords.of(encoded, topic, EventRecords.partition(encoded.key(), broker.partitions(topic))));
        }
    }

    /** Puts a record without headers on a topic, as {@code kafka-console-producer} does. */
    public void publishRaw(String topic, @Nullable String key, String value) {
        publishRaw(new ProducerRecord<>(
                kafka.physicalTopic(topic), key == null ? null : key.getBytes(UTF_8), value.getBytes(UTF_8)));
    }

    /** Puts any bytes and headers on a topic, as others may. */
    public void publishRaw(ProducerRecord<byte[], byte[]> record) {
        int partitions = broker.partitions(record.topic());
        Integer partition = record.partition();
        if (partition == null) {
            partition = record.key() == null ? 0 : InMemoryProducer.partition(record.key(), partitions);
        }
        append(new ProducerRecord<>(
                record.topic(), partition, record.timestamp(), record.key(), record.value(), record.headers()));
    }

    /** Puts a record on its partition once more, for records that are no event; of an event: {@link Faults#duplicate}. */
    public void deliverAgain(ConsumerRecord<byte[], byte[]> record) {
        broker.appendAgain(record);
    }

    /** What goes wrong: nothing, unless it is asked for here. */
    public Faults faults() {
        return faults;
    }

    // ---- what came of it

    /** All dead letters, whatever their topic, in the order in which they were sent. */
    public List<DeadLetter> deadLetters() {
        return broker.records(broker.topics()).stream()
                .map(DeadLetter::of)
                .filter(letter -> letter.origin() != null)
                .toList();
    }

    /**
     * What stands on a type's topic of that type, repeats included, in the order in which it came. What cannot be read as such is
     * left out; {@link #records} has it.
     */
    public <P> List<Event<P>> events(EventType<P> type) {
        EventDecoder decoder = new EventDecoder(List.of(type), kafka::logicalTopic);
        List<Event<P>> events = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> record : records(type.topic())) {
            try {
                Event<?> event = decoder.decode(record);
                P payload = type.payloadClass().cast(event.payload());
                events.add(new Event<>(event.id(), type, event.key(), event.timestamp(), payload, event.headers()));
            } catch (DecodeException unreadable) {
                // of another type, or no event at all
            }
        }
        return events;
    }

    /** All records of a topic, in the order in which they came; within a partition that is the order of the offsets. */
    public List<ConsumerRecord<byte[], byte[]>> records(String topic) {
        return broker.records(List.of(kafka.physicalTopic(topic)));
    }

    /**
     * The offset that a group has committed; empty if none. If nobody has joined the group by the end, {@link #close()} fails: its name may be
     * misspelt.
     *
     * @throws IllegalArgumentException if the topic has no such partition
     */
    public OptionalLong committedOffset(String group, String topic, int partition) {
        String physical = kafka.physicalTopic(Checks.topicName("topic", topic));
        Checks.inRange("partition", partition, 0, broker.partitionsToBe(physical) - 1);
        OffsetAndMetadata committed = broker.committedAsAsked(group, new TopicPartition(physical, partition));
        return committed == null ? OptionalLong.empty() : OptionalLong.of(committed.offset());
    }

    /**
     * Closes what was started, in that order.
     *
     * @throws IllegalStateException if a failure or a crash that {@link #faults()} was asked for has never come about, so that the test
     *     has not tested what it says
     */
    @Override
    public void close() {
        loop.close();
        faults.checkMet();
    }

    private void append(ProducerRecord<byte[], byte[]> record) {
        broker.append(record, null);
    }
}
