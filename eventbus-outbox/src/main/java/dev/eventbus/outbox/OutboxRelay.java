package dev.eventbus.outbox;

import dev.eventbus.ErrorCode;
import dev.eventbus.StartRefusedException;
import dev.eventbus.internal.Checks;
import dev.eventbus.internal.InterruptFlag;
import dev.eventbus.internal.RunLoop;
import dev.eventbus.outbox.internal.LeaseWatch;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.sql.DataSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Moves events from the outbox to Kafka, in order per key, and deletes each row once Kafka has acknowledged it.
 *
 * <pre>{@code
 * try (OutboxRelay relay = OutboxRelay.builder(outbox, dataSource, kafka).build()) {
 *   relay.start();
 *   ...
 * }
 * }</pre>
 *
 * <p>Any number of relays may work on one outbox, in one process or many. Each takes an equal share of the 16 shards; a shard goes
 * from one to another only after what was sent of it is acknowledged and deleted, so relays may come and go without repeats, but for
 * rows that somebody else keeps locked and what follows them of their keys. Shards of a relay that died are taken over when its lease
 * runs out.
 *
 * <p>Defaults: lease 10 s, renewed every 3 s, when it also evens out with other relays; at most 500 rows of a shard
 * per read, 4,000 rows or 8 MiB in flight; it looks 0.5 ms after a publish through the same {@link JdbcOutbox}, then in steps
 * that double up to 100 ms, at once after {@link Outbox#committed()}, otherwise every 2 to 100 ms; after a look that found events it pauses for twice as long as that took, at most 10 ms, and while a topic is stuck whose events it reads past, for four times as long, at most 1 s; each
 * shard from the beginning every 30 s.
 *
 * <p>One thread works, whichever runs {@link #start()}'s loop or {@link #runOnce()}; beside the loop a second one waits for Kafka, and
 * from the first backlog on a third one deletes while the first reads on. It keeps one connection of the data source
 * while it works, and a second one while there is a backlog, if the data source has one, and gives them back on {@link #close()}. The listener is called on the first thread.
 *
 * <p>On failure: nothing is lost and no key is overtaken. A database or a cluster that cannot be reached, a missing topic, a
 * wrong password: it goes on trying, {@link #health()} says what is wrong and how to mend it, and the rows wait. A crash or a
 * failed send repeats at most the rows in flight. An event that the broker refuses for good blocks its key; other keys go on.
 */
public final class OutboxRelay implements AutoCloseable {

    /** Default of {@link Builder#lease(Duration)}: 10 s. */
    public static final Duration DEFAULT_LEASE = Duration.ofSeconds(10);

    /** Default of {@link Builder#maxRelayStop(Duration)}: 7 days. */
    public static final Duration DEFAULT_MAX_RELAY_STOP = Duration.ofDays(7);

    /** How long {@link #close()} may take: 10 s. */
    public static final Duration DEFAULT_CLOSE_LIMIT = Duration.ofSeconds(10);

    private static final Duration UNTIL_WOKEN = Duration.ofHours(1);

    private static final Logger LOG = LoggerFactory.getLogger(OutboxRelay.class);

    /** What a relay is told besides where to read and where to write. */
    record Settings(String owner, Duration lease, SendMode mode, Duration maxRelayStop, RelayListener listener) {}

    /**
     * How a round reaches other threads.
     *
     * @param wake ends the rest between rounds
     * @param flush asks for a call of {@link RelayPass#hurry()} on another thread
     */
    record Signals(Runnable wake, Runnable flush) {

        /** For rounds that are made by hand. */
        static final Signals NONE = new Signals(() -> {}, () -> {});
    }

    private final JdbcOutbox outbox;
    private final RelayEvents events;
    private final RelayPass pass;
    private final RunLoop loop;

    /** Waits for Kafka where the relay's own thread must not. */
    private final RunLoop flusher;

    /** Set while a thread works on a round; nobody waits for it but {@link #close(Duration)}. */
    private final AtomicBoolean working = new AtomicBoolean();

    /** Whether the loop has been woken since its last round began. */
    private final AtomicBoolean woken = new AtomicBoolean();

    private final AtomicBoolean started = new AtomicBoolean();
    private final AtomicBoolean closed = new AtomicBoolean();

    /** Whether a call of {@link #runOnce()} has ended what it worked with, since it was closed meanwhile. */
    private final AtomicBoolean passEnded = new AtomicBoolean();

    /** How long the end may take; written by {@link #close(Duration)} before it stops the loop. */
    private volatile Duration closeLimit = DEFAULT_CLOSE_LIMIT;

    private OutboxRelay(Builder builder) {
        this.outbox = builder.outbox;
        Settings settings =
                new Settings(newOwner(), builder.lease, builder.mode, builder.maxRelayStop, builder.listener);
        this.events = new RelayEvents(builder.listener);
        this.flusher = new RunLoop("eventbus-relay-flush", this::hurry, () -> {});
        this.pass = new RelayPass(
                outbox, builder.dataSource, builder.kafka, settings, new Signals(this::wake, flusher::wake));
        this.loop = new RunLoop("eventbus-relay", this::round, this::end);
        outbox.wakeUp().join(pass.pace());
    }

    /**
     * Begins a relay.
     *
     * @param outbox the one that publishers in this process use
     * @param dataSource for the relay's own connections; stays open when the relay is closed
     * @param kafka where the events go
     */
    public static Builder builder(JdbcOutbox outbox, DataSource dataSource, KafkaCluster kafka) {
        return new Builder(outbox, dataSource, kafka);
    }

    private static String newOwner() {
        String host = Optional.ofNullable(System.getenv("HOSTNAME")).orElse("localhost");
        String process = ":%d:%s"
                .formatted(
                        ProcessHandle.current().pid(),
                        UUID.randomUUID().toString().substring(0, 8));
        return host.substring(0, Math.min(host.length(), 64 - process.length())) + process;
    }

    /**
     * One pass in the calling thread: reads what is next, up to the limits in flight, sends it, waits at most 5 s for the answers, and
     * deletes what Kafka has. For tests, demos and timers of one's own.
     *
     * @return how many events Kafka has acknowledged and were deleted; 0 also if database or Kafka cannot be reached, see
     *     {@link #health()}
     * @throws dev.eventbus.StartRefusedException if the outbox's tables are not as they must be
     * @throws IllegalStateException if the relay was started or closed, or another thread is in here
     */
    public int runOnce() {
        if (started.get() || closed.get()) {
            throw new IllegalStateException("runOnce() is for a relay that was neither started nor closed");
        }
        if (!working.compareAndSet(false, true)) {
            throw new IllegalStateException("another thread is in runOnce()");
        }
        try {
            return pass.runToEnd();
        } finally {
            working.set(false);
            endIfClosed();
        }
    }

    /** A pass that outlasts the limit of {@link #close(Duration)} ends by itself what it has opened. */
    private void endIfClosed() {
        if (closed.get() && working.compareAndSet(false, true)) {
            try {
                pass.end(closeLimit);
            } finally {
                passEnded.set(true);
            }
        }
    }

    /**
     * Begins to relay on a thread of its own, until closed. Returns at once; a database or cluster that cannot be reached is a matter
     * of {@link #health()}.
     *
     * @throws IllegalStateException if it was started or closed before
     */
    public void start() {
        if (closed.get() || !started.compareAndSet(false, true)) {
            throw new IllegalStateException("this relay was started or closed before; build a new one");
        }
        events.relayStarts(this::health);
        flusher.start();
        try {
            loop.start();
        } catch (RuntimeException | Error e) {
            flusher.stop();
            throw e;
        }
    }

    private Duration round() {
        woken.set(false);
        return pass.run();
    }

    private void end() {
        try {
            pass.end(closeLimit);
        } finally {
            flusher.stop();
        }
    }

    private Duration hurry() {
        pass.hurry();
        return UNTIL_WOKEN;
    }

    private void wake() {
        if (started.get() && woken.compareAndSet(false, true)) {
            loop.wake();
        }
    }

    /** How it does, as of its last round. Cheap; any thread. */
    public RelayHealth health() {
        RelayHealth last = pass.health();
        if (closed.get()) {
            return last.ended(true, "This relay was closed. Events wait in the outbox for another.");
        }
        if (loop.isStopped()) {
            return last.ended(
                    false,
                    "The relay's thread has ended, see the log. Events wait in the outbox. Close this relay and build a new one.");
        }
        return last;
    }

    /** As {@link #close(Duration)} with {@link #DEFAULT_CLOSE_LIMIT}. */
    @Override
    public void close() {
        close(DEFAULT_CLOSE_LIMIT);
    }

    /**
     * Ends: reads and sends no more, awaits what is on its way, deletes what Kafka has, gives the leases back so that another relay
     * takes over at once, and closes its producer and connections. If the database does not answer a DELETE by then, the leases run out by themselves. Says in the log what was left. Any thread; a second call
     * waits for the first. A thread that was interrupted before closes in order all the same, and finds its flag set afterwards.
     *
     * @param limit for all of it; what is not answered by then, or before the leases run out, is sent again by the next relay
     */
    public void close(Duration limit) {
        Duration within = Checks.atMostAYear(limit);
        try (InterruptFlag ignored = InterruptFlag.putOff()) {
            closeWithin(within);
        }
    }

    private void closeWithin(Duration within) {
        if (!closed.compareAndSet(false, true)) {
            if (started.get() && !loop.isLoopThread()) {
                loop.awaitStopped(within);
            }
            return;
        }
        closeLimit = within;
        outbox.wakeUp().leave(pass.pace());
        loop.stop();
        if (loop.isLoopThread()) {
            return; // a listener closes its own relay: the loop ends after this round
        }
        boolean ended;
        if (started.get()) {
            ended = loop.awaitStopped(within);
        } else {
            ended = RunLoop.await(within, () -> passEnded.get() || working.compareAndSet(false, true));
            if (ended && !passEnded.get()) {
                pass.end(within);
            }
        }
        if (!ended) {
            LOG.warn(
                    "The relay has not ended {}; it ends by itself once its database answers.",
                    Thread.currentThread().isInterrupted() ? "when its close was interrupted" : "within " + within);
        }
    }

    /** Optional settings of a relay. */
    public static final class Builder {
        private final JdbcOutbox outbox;
        private final DataSource dataSource;
        private final KafkaCluster kafka;
        private Duration lease = DEFAULT_LEASE;
        private SendMode mode = SendMode.PIPELINED;
        private Duration maxRelayStop = DEFAULT_MAX_RELAY_STOP;
        private RelayListener listener = new RelayListener() {};

        private Builder(JdbcOutbox outbox, DataSource dataSource, KafkaCluster kafka) {
            this.outbox = outbox;
            this.dataSource = dataSource;
            this.kafka = kafka;
        }

        /**
         * How long a shard stays with a relay that has died, or that its database does not reach. It is renewed, and the shards are evened
         * out, every three tenths of it. Default {@link #DEFAULT_LEASE}; the same for all relays of an outbox.
         *
         * @throws IllegalArgumentException if it is not 1 s to 5 min
         */
        public Builder lease(Duration lease) {
            if (lease.compareTo(Duration.ofSeconds(1)) < 0 || lease.compareTo(LeaseWatch.LONGEST) > 0) {
                throw new IllegalArgumentException("lease must be 1 s to 5 min, was %s".formatted(lease));
            }
            this.lease = lease;
            return this;
        }

        /** How events are handed to Kafka. Default {@link SendMode#PIPELINED}. */
        public Builder sendMode(SendMode mode) {
            this.mode = mode;
            return this;
        }

        /**
         * For how long events may wait and still be sent without anybody's word. Default {@link #DEFAULT_MAX_RELAY_STOP}.
         *
         * <p>A relay that was stopped between Kafka's ack and the delete sends an event again when it is back, and an inbox that keeps
         * its marks for a shorter time would apply it twice. So an event published longer ago than this, by the database's clock,
         * blocks its key with the reason {@code STALE} until {@link OutboxAdmin} lets it through or discards it. Keep it below the time
         * for which the inboxes of your consumers keep their marks, less the retention of the topic.
         *
         * @param maxRelayStop more than a year counts as a year
         * @throws IllegalArgumentException if it is below 1 min
         */
        public Builder maxRelayStop(Duration maxRelayStop) {
            if (maxRelayStop.compareTo(Duration.ofMinutes(1)) < 0) {
                throw new IllegalArgumentException(
                        "maxRelayStop must be at least 1 min, was %s".formatted(maxRelayStop));
            }
            this.maxRelayStop = Checks.atMostAYear(maxRelayStop);
            return this;
        }

        /** Who hears what the relay does. Default nobody. */
        public Builder listener(RelayListener listener) {
            this.listener = listener;
            return this;
        }

        /**
         * Builds it; nothing is opened before {@link OutboxRelay#start()} or {@link OutboxRelay#runOnce()}.
         *
         * @throws dev.eventbus.StartRefusedException if the outbox declares a compacted topic and the mode is not
         *     {@link SendMode#STRICT}, or it is {@link JdbcOutbox#relayedByDebezium()}
         */
        public OutboxRelay build() {
            if (outbox.isRelayedByDebezium()) {
                throw StartRefusedException.of(
                        ErrorCode.RELAY_CONTRADICTS_ITSELF,
                        "Relay",
                        List.of(
                                "this outbox is relayedByDebezium(): its rows are deleted as they are inserted, so no relay would ever see one. Leave that out of the outbox that you publish to, or let the connector send."));
            }
            if (mode != SendMode.STRICT && !outbox.compactedTopics().isEmpty()) {
                throw StartRefusedException.of(
                        ErrorCode.RELAY_CONTRADICTS_ITSELF,
                        "Relay",
                        List.of(
                                "mode %s would break P2 (no loss) on topics %s, which are compacted: an event that is sent a second time outlives the later ones of its key, which the cleaner then removes. Set sendMode(SendMode.STRICT)."
                                        .formatted(mode, outbox.compactedTopics())));
            }
            return new OutboxRelay(this);
        }
    }
}
