package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.internal.Growth;
import java.nio.ByteBuffer;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;

/**
 * The parked keys of one group as far as this runner knows them: read whole when partitions come, and again now and then. What is wrong
 * here does no harm, as long as what was parked before a partition or a key came is known: a key that is thought to be parked is asked for
 * when an event of it is added, and one that another runner has parked since is met by the mark of its first event. So only a lane that
 * was told by the database forgets its key. Keys come without a partition when a topic's growth is adopted: {@link Growth}.
 *
 * <p>A parked event and a live one of its key never run at once, though nobody waits for the other: a live one says that it begins and
 * then asks whether its key is parked; whoever drains makes the key known here and then asks whether a live one has begun. Whatever the
 * order, one of them sees the other, and comes later.
 *
 * <p>Thread-safe.
 */
public final class ParkedKeys {

    /** Longest key that is parked: with group and topic it is one entry of an index in every database. */
    public static final int LONGEST_KEY_BYTES = 2_000;

    /** Most events of one key that are parked; those behind wait in their lane. */
    public static final int MOST_EVENTS_OF_A_KEY = 10_000;

    /** Most events of one group that are parked; those behind wait in their lanes. */
    public static final int MOST_EVENTS = 100_000;

    /** How long it is waited for room, or for the dead-letter topic. */
    public static final Duration LOOKS_AGAIN = Duration.ofSeconds(5);

    public static final String TOO_MANY =
            "as many events are parked as may be (%d of a key, %d of a group): redrive or discard some"
                    .formatted(MOST_EVENTS_OF_A_KEY, MOST_EVENTS);

    /** After so long all of it is read again, beside the lanes, so that they need not wait for it. */
    static final Duration BELIEVED = Growth.PARKED_KEYS_BELIEVED.dividedBy(2);

    private record Id(String topic, ByteBuffer key) {

        static Id of(String topic, byte[] key) {
            return new Id(topic, ByteBuffer.wrap(key));
        }
    }

    private final ParkingStore store;
    private final String group;
    private final LongSupplier nanoTime;

    private final ReentrantLock loading = new ReentrantLock();

    /** Raised when partitions come; what was loaded for an earlier number is not enough. */
    private volatile int wanted = 1;

    private volatile int loaded;

    /** When the reading of what is known began, by {@link #nanoTime}. */
    private volatile long loadedNanos;

    /** A reading that failed, and when it ended. */
    private record Failed(SQLException why, long nanos) {}

    /** The last that did. Guarded by loading. */
    private @Nullable Failed failed;

    /** When all was read last. Guarded by loading. */
    private Instant loadedAt = Instant.MIN;

    /** All below guarded by this. The events of each parked key. */
    private Map<Id, Long> events = new HashMap<>();

    /** Keys that were parked here while others were being read. */
    private Map<Id, Long> meanwhile = new HashMap<>();

    private long total;

    /** How many events of a key are being handled live, or are about to be. */
    private final ConcurrentHashMap<Id, Integer> live = new ConcurrentHashMap<>();

    private volatile boolean any;
    private volatile boolean stale;
    private volatile List<ParkedKey> asLoaded = List.of();

    public ParkedKeys(ParkingStore store, String group) {
        this(store, group, System::nanoTime);
    }

    ParkedKeys(ParkingStore store, String group, LongSupplier nanoTime) {
        this.store = store;
        this.group = group;
        this.nanoTime = nanoTime;
    }

    // ---- knowing

    /** Partitions have come: what is parked must be read before any of their records is handled. */
    public void partitionsCame() {
        wanted++; // by the polling thread only
    }

    /** Whether that is so without reading anything. */
    public boolean areKnown() {
        return loaded == wanted && nanoTime.getAsLong() - loadedNanos <= Growth.PARKED_KEYS_BELIEVED.toNanos();
    }

    /** Reads what is parked, unless that was done of late and since partitions came last. */
    public void know() throws SQLException {
        if (areKnown()) {
            return;
        }
        long asked = nanoTime.getAsLong();
        loading.lock();
        try {
            Failed before = failed;
            if (before != null
                    && before.nanos() - asked >= 0) { // else lanes would wait for a time-out each, one after the other
                SQLException why = before.why();
                throw new SQLException("parked keys could not be read", why.getSQLState(), why.getErrorCode(), why);
            }
            if (!areKnown()) { // all lanes come here at once, and one of them reads
                load(null);
            }
        } finally {
            loading.unlock();
        }
    }

    /** Reads what is parked if that was long ago, or is not true any more. */
    public void refresh(Instant now) throws SQLException {
        loading.lock();
        try {
            Instant at = loadedAt;
            boolean old = now.isBefore(at) || at.isBefore(now.minus(BELIEVED));
            if (stale || old || !areKnown()) {
                load(now);
            }
        } finally {
            loading.unlock();
        }
    }

    /** Guarded by loading. */
    private void load(@Nullable Instant now) throws SQLException {
        int number = wanted;
        long began = nanoTime.getAsLong();
        stale = false;
        synchronized (this) {
            meanwhile = new HashMap<>();
        }
        List<ParkedKey> keys;
        try {
            keys = store.load(group);
        } catch (SQLException e) {
            failed = new Failed(e, nanoTime.getAsLong());
            throw e;
        }
        synchronized (this) {
            Map<Id, Long> read = new HashMap<>();
            keys.forEach(key -> read.put(Id.of(key.topic(), key.key()), key.events()));
            meanwhile.forEach(read::putIfAbsent);
            events = read;
            total = read.values().stream().mapToLong(Long::longValue).sum();
            any = !read.isEmpty();
        }
        asLoaded = List.copyOf(keys);
        loadedAt = now == null ? loadedAt : now;
        loadedNanos = began;
        loaded = number;
    }

    /** What was read is not true any more: it is read again at the next look. */
    public void changed() {
        stale = true;
    }

    /** As they were read last. */
    public Collection<ParkedKey> asLoaded() {
        return asLoaded;
    }

    /** Those whose first event is to be run now, and those whose events have ended. */
    List<ParkedKey> due(Instant now) throws SQLException {
        List<ParkedKey> due = store.due(group, now);
        due.forEach(this::learn); // before one of its events is run, so that no live one runs beside it
        return due;
    }

    private synchronized void learn(ParkedKey key) {
        Id id = Id.of(key.topic(), key.key());
        meanwhile.putIfAbsent(id, key.events()); // what is being read now may not have it
        if (events.putIfAbsent(id, key.events()) == null) {
            total += key.events();
            any = true;
        }
    }

    /** Whether later events of the key are parked too. */
    public boolean contains(String topic, byte[] key) {
        if (!any) {
            return false;
        }
        synchronized (this) {
            return events.containsKey(Id.of(topic, key));
        }
    }

    /** How many keys are parked. */
    public synchronized int size() {
        return events.size();
    }

    /** How many events are parked. */
    public synchronized long events() {
        return total;
    }

    // ---- live events

    /** What is done with live records. */
    @FunctionalInterface
    public interface Work<T, E extends Exception> {
        T run() throws E;
    }

    /** Handles live records; no parked event of their keys begins meanwhile. The work asks {@link #contains} before it runs a handler. */
    public <T, E extends Exception> T live(List<ConsumerRecord<byte[], byte[]>> records, Work<T, E> work) throws E {
        List<Id> ids = records.stream()
                .filter(record -> record.key() != null)
                .map(record -> Id.of(record.topic(), record.key()))
                .toList();
        ids.forEach(id -> live.merge(id, 1, Integer::sum));
        try {
            return work.run();
        } finally {
            ids.forEach(id -> live.computeIfPresent(id, (same, running) -> running == 1 ? null : running - 1));
        }
    }

    /** Whether an event of the key is being handled live, or is about to be. */
    public boolean isLive(String topic, byte[] key) {
        return live.containsKey(Id.of(topic, key));
    }

    // ---- adding

    /** Whether one more event of the key may be parked. */
    public synchronized boolean haveRoom(String topic, byte[] key) {
        return events.getOrDefault(Id.of(topic, key), 0L) < MOST_EVENTS_OF_A_KEY && total < MOST_EVENTS;
    }

    /** As {@link ParkingStore#park}, and known here. */
    public MarkResult park(Mark mark, ParkedEvent event, ParkedKey.State state, @Nullable Instant nextTry)
            throws SQLException {
        MarkResult parked = store.park(mark, event, state, nextTry);
        if (parked instanceof MarkResult.Decided) {
            add(event.topic(), event.key());
            if (nextTry != null) {
                stale = true;
            }
        }
        return parked;
    }

    /** As {@link ParkingStore#follow}, and known here. */
    public Optional<MarkResult> follow(Mark mark, ParkedEvent event) throws SQLException {
        Optional<MarkResult> followed = store.follow(mark, event);
        if (followed.isPresent() && followed.get() instanceof MarkResult.Decided) {
            add(event.topic(), event.key());
        }
        return followed;
    }

    /** An event of the key was met that is parked, so that the key is; also if what is being read now does not have it. */
    public synchronized void met(String topic, byte[] key) {
        if (events.containsKey(Id.of(topic, key))) {
            meanwhile.putIfAbsent(Id.of(topic, key.clone()), 1L);
        } else {
            add(topic, key);
        }
    }

    private synchronized void add(String topic, byte[] key) {
        Id id = Id.of(topic, key.clone());
        events.merge(id, 1L, Long::sum);
        meanwhile.merge(id, 1L, Long::sum);
        total++;
        any = true;
    }

    /** The database has said that the key is not parked, to a record that is {@link #live} since before. */
    public synchronized void forget(String topic, byte[] key) {
        Id id = Id.of(topic, key);
        Long had = events.remove(id);
        total -= had == null ? 0 : had;
        meanwhile.remove(id);
        any = !events.isEmpty();
    }
}
