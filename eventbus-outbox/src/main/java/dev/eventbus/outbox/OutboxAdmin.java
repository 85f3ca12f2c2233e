package dev.eventbus.outbox;

import dev.eventbus.EncodedEvent;
import dev.eventbus.internal.Checks;
import dev.eventbus.outbox.sql.AdminSql;
import dev.eventbus.outbox.sql.BlockedKeyStore;
import dev.eventbus.outbox.sql.BlockedKeyStore.Block;
import dev.eventbus.outbox.sql.BlockedKeyStore.Filter;
import dev.eventbus.outbox.sql.RowKey;
import dev.eventbus.outbox.sql.StatsStore;
import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import javax.sql.DataSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a person does with an outbox, from any process that reaches its database; a relay need not run.
 *
 * <pre>{@code
 * OutboxAdmin admin = OutboxAdmin.of(outbox, dataSource);
 * for (OutboxAdmin.BlockedKey blocked : admin.blocked()) {
 *   log.warn("{}", blocked); // event id, topic, reason, since when; never the key
 * }
 * admin.unblock(topic, key); // of one that was looked at, once its cause is mended; or discard(eventId, reason)
 * }</pre>
 *
 * <p>No event is ever decoded. Each call borrows one connection for one short transaction that commits synchronously. What changes
 * something locks the shard first, as the relay does when it blocks a key, is written to the log without key and payload, and is told
 * to the listener. A relay in this process notices at once, others at their next look.
 *
 * <p>Thread-safe. Throws {@link SQLException} if the database cannot be used; then nothing was changed, unless the connection was
 * lost in the middle of the commit or after it: look at {@link #blocked()}.
 */
public final class OutboxAdmin {

    /** How many blocked keys {@link #blocked()} lists at most. */
    public static final int MOST_KEYS = 10_000;

    private static final Logger LOG = LoggerFactory.getLogger(OutboxAdmin.class);

    private final JdbcOutbox outbox;
    private final DataSource dataSource;
    private final RelayListener listener;
    private final AdminSql sql;
    private final BlockedKeyStore blocks;
    private final StatsStore stats;

    private OutboxAdmin(JdbcOutbox outbox, DataSource dataSource, RelayListener listener) {
        this.outbox = outbox;
        this.dataSource = dataSource;
        this.listener = listener;
        this.sql = outbox.store().sql().admin();
        this.blocks = new BlockedKeyStore(outbox.store().sql());
        this.stats = new StatsStore(outbox.store().sql());
    }

    /** For the outbox's tables as this data source sees them. The data source stays open. */
    public static OutboxAdmin of(JdbcOutbox outbox, DataSource dataSource) {
        return new OutboxAdmin(outbox, dataSource, new RelayListener() {});
    }

    /** The same with somebody who hears what is unblocked and discarded: for an audit. Default nobody. */
    public OutboxAdmin listener(RelayListener audit) {
        return new OutboxAdmin(outbox, dataSource, audit);
    }

    /** The outbox's clock, {@link JdbcOutbox#clock}. */
    public InstantSource clock() {
        return outbox.clock();
    }

    /**
     * A key that waits because of its next event.
     *
     * @param topic logical name
     * @param eventId the event that is not sent; later ones of the key wait behind it
     * @param reason {@code REFUSED} by Kafka for good, {@code FAILED_REPEATEDLY} for reasons unknown, {@code UNREADABLE} in the table, or
     *     {@code STALE}: published longer ago than {@code maxRelayStop}
     * @param error what was said about it; empty if nothing was
     * @param sentLater ids of later events of the key that may be in the topic already
     */
    public record BlockedKey(
            String topic,
            String key,
            String eventId,
            String reason,
            String error,
            List<String> sentLater,
            Instant since) {

        /** Without the key, which never reaches a log. */
        @Override
        public String toString() {
            return "event %s of topic %s (%s, %s) since %s"
                    .formatted(Checks.printable(eventId), topic, reason, error, since);
        }
    }

    /**
     * How the outbox does. Costs a few milliseconds at any backlog, since it counts at most 10,001 rows of each shard; more where many
     * rows of blocked keys stand before the oldest event that waits for no person, or dead ones that an old snapshot keeps: it passes
     * them. Each of its questions is given up after 10 s.
     */
    public OutboxStats stats() throws SQLException {
        return inTransaction(connection -> {
            StatsStore.Pending pending = stats.pending(connection);
            return new OutboxStats(
                    Collections.unmodifiableSortedMap(pending.byTopic()),
                    pending.exact(),
                    stats.oldestAge(connection),
                    stats.blockedKeys(connection),
                    stats.shards(connection).stream()
                            .map(shard -> new OutboxStats.Shard(shard.number(), shard.owner(), shard.leaseUntil()))
                            .toList(),
                    Collections.unmodifiableSortedSet(stats.relays(connection)));
        });
    }

    /** The keys that wait, those that wait for longest first; at most {@link #MOST_KEYS}. */
    public List<BlockedKey> blocked() throws SQLException {
        return blocked(new Filter(null, null));
    }

    /** The key that waits for an event; several, if events of several topics or keys have this id. */
    public List<BlockedKey> blocked(String eventId) throws SQLException {
        return blocked(new Filter(Checks.notBlank("eventId", eventId), null));
    }

    private List<BlockedKey> blocked(Filter wanted) throws SQLException {
        return inTransaction(connection -> blocks.find(connection, wanted, MOST_KEYS)).stream()
                .map(OutboxAdmin::shown)
                .toList();
    }

    private static BlockedKey shown(Block block) {
        return new BlockedKey(
                block.topic(),
                block.key(),
                block.event().id(),
                block.reason(),
                block.error(),
                block.sentLater(),
                block.since());
    }

    /**
     * Tries a key again: its events are sent in order, from the one that it waits for. All that wait now are sent however old they are;
     * if one is refused again, the key is blocked again.
     *
     * @param topic logical name
     * @return whether it was blocked
     */
    public boolean unblock(String topic, String key) throws SQLException {
        Optional<Block> lifted = inTransaction(connection -> {
            Optional<Block> before = blocks.find(connection, topic, key);
            if (before.isEmpty()) {
                return before;
            }
            // Found before the lock: it may take a moment, and what is published meanwhile is young.
            Optional<RowKey> newest = blocks.newest(connection, before.get());
            blocks.lock(connection, before.get().event().shard());
            Optional<Block> now = blocks.find(connection, topic, key);
            if (now.isPresent()) {
                lift(connection, now.get(), newest);
            }
            return now;
        });
        lifted.ifPresent(block -> {
            LOG.info(
                    "A key of topic {} is unblocked, which waited for event {} ({}); its events are sent again, in order",
                    block.topic(),
                    Checks.printable(block.event().id()),
                    block.reason());
            new RelayEvents(listener).keyUnblocked(block.event().id(), block.topic());
            outbox.committed();
        });
        return lifted.isPresent();
    }

    private void lift(Connection connection, Block block, Optional<RowKey> newest) throws SQLException {
        if (newest.isEmpty()) {
            blocks.delete(connection, block);
        } else {
            boolean behind = newest.get().seq() < block.event().seq();
            blocks.unblock(connection, block, behind ? block.event() : newest.get());
        }
    }

    /**
     * Unblocks the keys that are blocked for a reason, for instance {@code STALE} once it is clear that no inbox has forgotten anything.
     * Each in a transaction of its own, those that wait for longest first. A key that is refused again meanwhile is not taken again.
     *
     * @return how many it unblocked
     */
    public int unblockAll(String reason) throws SQLException {
        Instant begun = inTransaction(connection -> outbox.store().now(connection));
        Set<List<String>> taken = new HashSet<>();
        int unblocked = 0;
        boolean more;
        do {
            List<Block> found = blockedFor(reason);
            boolean first = taken.isEmpty();
            more = false;
            for (Block block : found) {
                // of the first page whatever its time: the clock may have gone back since
                boolean wanted = first || !block.since().isAfter(begun);
                if (wanted && taken.add(List.of(block.topic(), block.key()))) {
                    unblocked += unblock(block.topic(), block.key()) ? 1 : 0;
                    more = found.size() == MOST_KEYS;
                }
            }
        } while (more);
        return unblocked;
    }

    private List<Block> blockedFor(String reason) throws SQLException {
        return inTransaction(connection -> blocks.find(connection, new Filter(null, reason), MOST_KEYS));
    }

    /**
     * Takes the event that a key waits for out of the outbox for good; the key then goes on with its next one. If that is refused too,
     * or older than {@code maxRelayStop}, even where {@link #unblock} had let it through before, the key is blocked again: of several
     * old ones each is decided upon, or all at once by {@code unblock}. Nobody else has the event then: keep what is returned, or write
     * down why nobody needs it.
     *
     * @param eventId as {@link #blocked()} gives it
     * @param reason for the log and the listener
     * @return the event as it lay there
     * @throws IllegalStateException if no key waits for this event, or keys of several topics do; nothing was changed
     */
    public EncodedEvent discard(String eventId, String reason) throws SQLException {
        return discard(eventId, reason, event -> {});
    }

    /**
     * As {@link #discard(String, String)}, and keeps the event before it is gone.
     *
     * @param keep is given the event before the deletion is committed; if it throws, nothing is changed. It should be quick: the shard has no relay meanwhile. If the commit fails, the event may
     *     be kept there and be in the outbox still
     */
    public EncodedEvent discard(String eventId, String reason, Consumer<? super EncodedEvent> keep)
            throws SQLException {
        List<Block> waiting = inTransaction(connection -> blocks.find(connection, new Filter(eventId, null), 2));
        if (waiting.size() != 1) {
            throw refused(
                    eventId,
                    waiting.isEmpty()
                            ? "no key waits for it: it was sent, discarded or never published, or it waits behind the event that its key waits for. blocked() lists what can be discarded"
                            : "several keys wait for an event with this id. Choose one of blocked(), and discard(that, reason)");
        }
        return discard(waiting.get(0), reason, keep);
    }

    /**
     * As {@link #discard(String, String)}, for the case that several events have the same id.
     *
     * @throws IllegalStateException if the key does not wait for this event any more; nothing was changed
     */
    public EncodedEvent discard(BlockedKey blocked, String reason) throws SQLException {
        Optional<Block> waiting = inTransaction(connection -> blocks.find(connection, blocked.topic(), blocked.key()))
                .filter(block -> block.event().id().equals(blocked.eventId()));
        return discard(waiting.orElseThrow(() -> refused(blocked.eventId(), NOT_ANY_MORE)), reason, event -> {});
    }

    private EncodedEvent discard(Block block, String reason, Consumer<? super EncodedEvent> keep) throws SQLException {
        Checks.notBlank("reason", reason);
        EncodedEvent event = inTransaction(connection -> {
            blocks.lock(connection, block.event().shard());
            Optional<Block> now = blocks.find(connection, block.topic(), block.key())
                    .filter(found -> found.event().id().equals(block.event().id()));
            Optional<EncodedEvent> taken = now.isEmpty() ? Optional.empty() : blocks.take(connection, now.get());
            if (taken.isEmpty()) {
                throw refused(block.event().id(), NOT_ANY_MORE);
            }
            blocks.delete(connection, block);
            keep.accept(taken.get());
            return taken.get();
        });
        LOG.info(
                "Event {} of topic {} is discarded, which its key waited for ({}): {}",
                event,
                block.topic(),
                block.reason(),
                Checks.printable(reason));
        new RelayEvents(listener).eventDiscarded(block.event().id(), block.topic(), reason);
        outbox.committed();
        return event;
    }

    private static final String NOT_ANY_MORE =
            "its key does not wait for it any more, or it is gone; a block whose event is gone is lifted within 30 s by the relay. See blocked()";

    private static IllegalStateException refused(String eventId, String why) {
        return new IllegalStateException("event %s was not discarded: %s".formatted(Checks.printable(eventId), why));
    }

    /**
     * Begins to use the partitions that a topic has got since its first event. Its events wait meanwhile, other topics flow. First every
     * relay settles what it has on its way to the topic (some seconds), then the groups named must have handled all of it, so that no
     * event is handled before an earlier one of its key that lies in another partition; 12 s later, when all their runners know which keys
     * are parked, the new count is recorded. Nothing happens if the topic has not grown.
     *
     * <p>If it throws, the topic goes on as before; only after an {@link SQLException}, or if this process dies meanwhile, it may wait,
     * which the health of every relay says: call it again.
     *
     * @param kafka of the relays: name and topic prefix decide which record is meant
     * @param topic logical name
     * @param limit how long relays and groups may take, together; the 12 s come on top
     * @param groups consumer groups to which order matters; none means that nobody is waited for
     * @return how many partitions are used from now on
     * @throws dev.eventbus.StartRefusedException if relays or groups take longer, naming them, if the topic has become smaller, or
     *     if nothing is recorded for it in this outbox
     * @throws dev.eventbus.KafkaAccessException if the cluster cannot be asked
     */
    public int adoptPartitions(KafkaCluster kafka, String topic, Duration limit, String... groups) throws SQLException {
        Set<String> orderly = new TreeSet<>(List.of(groups));
        orderly.forEach(group -> Checks.notBlank("group", group));
        return new TopicPartitions.Adoption(this, outbox.store(), kafka, topic, orderly).run(Checks.atMostAYear(limit));
    }

    /** Owners that are alive. */
    Set<String> relays(Connection connection) throws SQLException {
        return stats.relays(connection);
    }

    /** What a transaction does. */
    interface Work<T> {
        T in(Connection connection) throws SQLException;
    }

    /** Runs work in a transaction of its own and gives the connection back as it came. */
    <T> T inTransaction(Work<T> work) throws SQLException {
        try (Connection connection = dataSource.getConnection();
                Borrowed borrowed = Borrowed.of(connection)) {
            borrowed.begin(sql.begin());
            T result = work.in(connection);
            connection.commit();
            return result;
        }
    }

    /** A connection and how it came. What fails while it is put back is added to what failed before, and never replaces it. */
    private record Borrowed(Connection connection, boolean autoCommit, int isolation) implements AutoCloseable {

        static Borrowed of(Connection connection) throws SQLException {
            return new Borrowed(connection, connection.getAutoCommit(), connection.getTransactionIsolation());
        }

        void begin(String statement) throws SQLException {
            connection.setAutoCommit(false);
            connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            try (PreparedStatement begin = connection.prepareStatement(statement)) {
                begin.execute();
            }
        }

        @Override
        public void close() throws SQLException {
            connection.rollback(); // what was not committed
            connection.setTransactionIsolation(isolation);
            connection.setAutoCommit(autoCommit);
        }
    }
}
