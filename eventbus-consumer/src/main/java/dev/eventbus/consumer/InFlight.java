package dev.eventbus.consumer;

import dev.eventbus.Event;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.deadletter.RedriveHeaders;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.internal.CrashWatch;
import dev.eventbus.consumer.internal.FlowControl;
import dev.eventbus.consumer.internal.HeldSince;
import java.sql.Connection;
import java.time.Duration;
import java.time.Instant;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.jspecify.annotations.Nullable;

/**
 * A record between being read and its end, and how far its lane has come with it.
 *
 * <p>Its progress is written by the one thread that runs its lane, and handed on under the lane's lock. Who explains what a runner
 * waits for looks at a record that runs without it, and may see it as it was a moment ago.
 */
final class InFlight {

    /** Steps of a record; they go forward only, and behind the first its handler never runs again. */
    enum Step {
        /** The handler is to run. */
        HANDLE,
        /** The inbox is to note DYING, so that nobody else runs the handler either. */
        DECIDE,
        /** Its key is to be parked with it, so that nobody else runs the handler either. */
        PARK,
        /** The letter is to be sent. */
        PUBLISH,
        /** The broker has the letter; the inbox is to note DEAD. */
        SETTLE
    }

    /** What came of sending a letter; without a failure the broker has acknowledged it. */
    record Sent(@Nullable Throwable failure) {}

    private final ConsumerRecord<byte[], byte[]> record;
    private final long slot;
    private final int bytes;

    private Step step = Step.HANDLE;
    private @Nullable Event<?> event;

    /** Whether user code has had the event's payload, which may be another since. */
    private boolean handedOut;

    /** Its type, if it was read before and is not now. */
    private @Nullable String knownType;

    private @Nullable Mark mark;

    private boolean byItself;
    private int attempts;
    private int waits;
    private @Nullable Instant firstFailedAt;
    private @Nullable String failure;
    private FailurePolicy.@Nullable Sighting outage;
    private final HeldSince held = new HeldSince();

    private final CrashWatch.Suspicion suspicion;

    private @Nullable Origin origin;
    private @Nullable Instant parkedUntil;
    private @Nullable Sent sent;
    private Duration took = Duration.ZERO;

    /** @param slot the record's place in its partition's {@code OffsetTracker} */
    InFlight(ConsumerRecord<byte[], byte[]> record, long slot) {
        this(record, slot, new CrashWatch.Suspicion());
    }

    private InFlight(ConsumerRecord<byte[], byte[]> record, long slot, CrashWatch.Suspicion suspicion) {
        this.record = record;
        this.slot = slot;
        this.bytes = FlowControl.bytesOf(record);
        this.suspicion = suspicion;
    }

    /** The record as it was read anew, or what is left of it while it waits in a database; tried as often as this one. */
    InFlight as(ConsumerRecord<byte[], byte[]> read) {
        InFlight same = new InFlight(read, slot, suspicion);
        same.attempts = attempts;
        same.waits = waits;
        same.firstFailedAt = firstFailedAt;
        same.failure = failure;
        same.outage = outage;
        same.knownType = eventType();
        same.took = took;
        return same;
    }

    ConsumerRecord<byte[], byte[]> record() {
        return record;
    }

    long slot() {
        return slot;
    }

    /** Key, value and headers, as counted by the budget. */
    int bytes() {
        return bytes;
    }

    Step step() {
        return step;
    }

    void step(Step next) {
        step = next;
        waits = 0;
    }

    /** The record as an event, once it was decoded. */
    @Nullable
    Event<?> event() {
        return event;
    }

    void event(Event<?> decoded) {
        event = decoded;
        handedOut = false;
    }

    /** Whether it was read as an event that no user code has had. */
    boolean isRead() {
        return event != null && !handedOut;
    }

    /** User code gets the event now. */
    void handedOut() {
        handedOut = true;
    }

    /** Null until the record was read as an event, and if it is none. */
    @Nullable
    String eventId() {
        Event<?> read = event;
        return read == null ? null : read.id();
    }

    /** Null until the record was read as an event, and if it is none. */
    @Nullable
    String eventType() {
        Event<?> read = event;
        return read == null ? knownType : read.type().name();
    }

    /** For people: its type, or that it is a record. */
    String typeName() {
        String type = eventType();
        return type == null ? "record" : type;
    }

    /** For people: what stands where. */
    String where() {
        return "%s at %s/%d@%d".formatted(typeName(), record.topic(), record.partition(), record.offset());
    }

    /** How the inbox knows the record; null while unknown, and for good if its handler works without one. */
    @Nullable
    Mark mark() {
        return mark;
    }

    void mark(@Nullable Mark known) {
        mark = known;
    }

    /** From now on it runs in no step but its own. */
    void runsByItself() {
        byItself = true;
    }

    /** Whether nothing has been tried with it yet, so that it may run in one step with others. */
    boolean isUntried() {
        return !byItself
                && suspicion.isNone()
                && step == Step.HANDLE
                && attempts == 0
                && waits == 0
                && held.isOver()
                && sent == null;
    }

    /** Attempts used so far. */
    int attempts() {
        return attempts;
    }

    /** The attempt that is under way, 1 for the first; once the record dies, the last one. */
    int attempt() {
        return origin == null ? attempts + 1 : Math.max(1, attempts);
    }

    /** A failure has used an attempt. */
    void usedAttempt() {
        attempts++;
        waits = 0;
    }

    /** Attempts that were used before a crash count on. */
    void failedBefore(int failures) {
        attempts = Math.max(attempts, failures);
    }

    /** What is known of it as what may end the process. */
    CrashWatch.Suspicion suspicion() {
        return suspicion;
    }

    @Nullable
    Instant firstFailedAt() {
        return firstFailedAt;
    }

    /** @param what what it failed with, in words without a value of the event */
    void failed(Instant now, String what) {
        if (firstFailedAt == null) {
            firstFailedAt = now;
        }
        failure = what;
    }

    /** What it failed with last; null if it has not. */
    @Nullable
    String failure() {
        return failure;
    }

    /** Counts a repetition that uses no attempt: 1 for the first in a row. */
    int waitsAgain() {
        return ++waits;
    }

    /** How long its handler took; zero if it has not returned. */
    Duration took() {
        return took;
    }

    void took(Duration done) {
        took = done;
    }

    /** How long another owner holds the record's mark, or the parked key that it follows. */
    HeldSince held() {
        return held;
    }

    /** How this record last met an outage; null if it never did. */
    FailurePolicy.@Nullable Sighting outage() {
        return outage;
    }

    void outage(FailurePolicy.Sighting seen) {
        outage = seen;
    }

    /**
     * Where the record comes from and why it dies.
     *
     * @param redriven whether it may have come by a redrive, whose number of times it then carries
     */
    Origin origin(String group, FailureReason why, Instant now, boolean redriven) {
        return Origin.of(record, group, why, now)
                .withRedrives(
                        redriven && RedriveHeaders.isFor(record.headers(), group)
                                ? RedriveHeaders.redrives(record.headers())
                                : 0);
    }

    /** Why the record dies; set with the first step of dying. */
    @Nullable
    Origin origin() {
        return origin;
    }

    void dies(Origin why) {
        origin = why;
    }

    /** When it is tried again with its parked key, {@link Instant#MIN} if a person must say so; null if it is not parked. */
    @Nullable
    Instant parkedUntil() {
        return parkedUntil;
    }

    void parks(@Nullable Instant until) {
        parkedUntil = until;
    }

    boolean isParked() {
        return parkedUntil != null;
    }

    /** The sending has ended; see the lane for who may see this. */
    void sent(Sent result) {
        sent = result;
    }

    boolean hasSendResult() {
        return sent != null;
    }

    /** Takes the result of the last sending, once. */
    @Nullable
    Sent takeSendResult() {
        Sent result = sent;
        sent = null;
        return result;
    }

    /** A delivery as the handler sees it; the attempt is the one it was made for. */
    static class Delivered implements Delivery {

        private final String group;
        private final String topic;
        final ConsumerRecord<byte[], byte[]> record;
        private final int attempt;

        /** @param topic logical topic */
        Delivered(String group, String topic, InFlight inFlight) {
            this(group, topic, inFlight.record(), inFlight.attempt());
        }

        private Delivered(String group, String topic, ConsumerRecord<byte[], byte[]> record, int attempt) {
            this.group = group;
            this.topic = topic;
            this.record = record;
            this.attempt = attempt;
        }

        TransactionalDelivery in(Connection transaction) {
            return new DeliveredInTransaction(this, transaction);
        }

        @Override
        public String group() {
            return group;
        }

        @Override
        public String topic() {
            return topic;
        }

        @Override
        public int partition() {
            return record.partition();
        }

        @Override
        public long offset() {
            return record.offset();
        }

        @Override
        public int attempt() {
            return attempt;
        }

        @Override
        public Instant timestamp() {
            return Instant.ofEpochMilli(record.timestamp());
        }

        @Override
        public Headers headers() {
            return new RecordHeaders(record.headers());
        }
    }

    private static final class DeliveredInTransaction extends Delivered implements TransactionalDelivery {

        private final Connection connection;

        DeliveredInTransaction(Delivered delivered, Connection connection) {
            super(delivered.group, delivered.topic, delivered.record, delivered.attempt);
            this.connection = connection;
        }

        @Override
        public Connection connection() {
            return connection;
        }
    }
}
