package dev.eventbus.benchmarks;

import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Writes events evenly over time, in the calling thread, and notes when each was given to its producer. */
final class Feeder implements AutoCloseable {

    private final Backlog backlog;
    private final long everyNanos;
    private final KafkaProducer<byte[], byte[]> producer;

    private final AtomicReference<Exception> failure = new AtomicReference<>();

    /** Read by whoever has received the event. */
    private final long[] sentAt;

    Feeder(Servers servers, Backlog backlog, int eventsPerSecond) {
        this.backlog = backlog;
        this.everyNanos = 1_000_000_000L / eventsPerSecond;
        this.producer = new KafkaProducer<>(
                Map.of(
                        "bootstrap.servers",
                        servers.bootstrapServers(),
                        "acks",
                        "all",
                        "linger.ms",
                        0,
                        Backlog.IN_FLIGHT,
                        1),
                new ByteArraySerializer(),
                new ByteArraySerializer());
        this.sentAt = new long[Math.toIntExact(backlog.events())];
    }

    /** Of an event that has been received. */
    long sentAt(long number) {
        return sentAt[(int) number];
    }

    /** Returns when the last of them is on its way. */
    void feed(long from, long to) {
        long next = System.nanoTime();
        for (long number = from; number < to; number++) {
            next += everyNanos;
            for (long left = next - System.nanoTime(); left > 0; left = next - System.nanoTime()) {
                LockSupport.parkNanos(left);
            }
            sentAt[(int) number] = System.nanoTime();
            backlog.send(producer, number, (metadata, e) -> {
                if (e != null) {
                    failure.set(e);
                }
            });
        }
    }

    /** @throws IllegalStateException if an event could not be written */
    void check() {
        if (failure.get() != null) {
            throw new IllegalStateException("an event could not be written", failure.get());
        }
    }

    @Override
    public void close() {
        producer.close();
    }
}
