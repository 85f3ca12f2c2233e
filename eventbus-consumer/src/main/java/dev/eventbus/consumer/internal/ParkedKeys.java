package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.parking.ParkedKey;
import java.nio.ByteBuffer;
import java.sql.SQLException;
import java.time.Instant;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The parked keys of one group as far as this runner knows them: read whole when partitions come, and again every second. What is wrong here
 * does no harm, as long as what was parked before a partition came is known: a key that is thought to be parked is asked for when an
 * event of it is added, and one that another runner has parked since is met by the mark of its first event.
 *
 * <p>Thread-safe.
 */
public final class ParkedKeys {

    /** Most events of one key that are parked; those behind wait in their lane. */
    public static final int MOST_EVENTS_OF_A_KEY = 10_000;

    /** Most events of one group that are parked; those behind wait in their lanes. */
    public static final int MOST_EVENTS = 100_000;

    private record Id(String topic, ByteBuffer key) {

        static Id of(String topic, byte[] key) {
            return new Id(topic, ByteBuffer.wrap(key));
        }
    }

    private final ParkingStore store;
    private final String group;

    private final ReentrantLock loading = new ReentrantLock();

    /** Raised when partitions come; what was loaded for an earlier number is not enough. */
    private volatile int wanted = 1;

    private volatile int loaded;

    /** All below guarded by this. The events of each parked key. */
    private Map<Id, Long> events = new HashMap<>();

    /** Keys that were parked here while others were being read; null while none are. */
    private Map<Id, Long> meanwhile = new HashMap<>();

    private long total;
    private final Set<Id> taken = new HashSet<>();

    private volatile boolean any;
    private volatile List<ParkedKey> asLoaded = List.of();

    public ParkedKeys(ParkingStore store, String group) {
        this.store = store;
        this.group = group;
    }

    /** Partitions have come: what is parked must be read before any of their records is handled. */
    public void partitionsCame() {
        wanted++; // by the polling thread only
    }

    /** Whether what was read is enough. */
    public boolean areKnown() {
        return loaded == wanted;
    }

    /** Reads what is parked, unless that was done since partitions came last. */
    public void know() throws SQLException {
        if (!areKnown()) {
            load();
        }
    }

    /** Reads what is parked. */
    public void load() throws SQLException {
        loading.lock();
        try {
            int number = wanted;
            synchronized (this) {
                meanwhile = new HashMap<>();
            }
            List<ParkedKey> keys = store.load(group);
            synchronized (this) {
                Map<Id, Long> read = new HashMap<>();
                keys.forEach(key -> read.put(Id.of(key.topic(), key.key()), key.events()));
                meanwhile.forEach(read::putIfAbsent);
                events = read;
                total = read.values().stream().mapToLong(Long::longValue).sum();
                any = !read.isEmpty();
            }
            asLoaded = List.copyOf(keys);
            loaded = number;
        } finally {
            loading.unlock();
        }
    }

    /** As they were read last. */
    public Collection<ParkedKey> asLoaded() {
        return asLoaded;
    }

    /** When the first of some keys is due, after now; null if none is. */
    public @Nullable Instant nextTry(Instant now, Predicate<ParkedKey> of) {
        return asLoaded.stream()
                .filter(key -> key.state() != ParkedKey.State.PARKED && of.test(key))
                .flatMap(key -> Stream.ofNullable(key.nextTry()))
                .filter(due -> due.isAfter(now))
                .min(Instant::compareTo)
                .orElse(null);
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

    /** An event of the key was parked, or met parked. */
    public synchronized void add(String topic, byte[] key) {
        Id id = Id.of(topic, key.clone());
        events.merge(id, 1L, Long::sum);
        meanwhile.merge(id, 1L, Long::sum);
        total++;
        any = true;
    }

    /** The key is not parked any more. */
    public synchronized void forget(String topic, byte[] key) {
        Id id = Id.of(topic, key);
        Long had = events.remove(id);
        total -= had == null ? 0 : had;
        meanwhile.remove(id);
        any = !events.isEmpty();
    }

    /** Whether one more event of the key may be parked. */
    public synchronized boolean haveRoom(String topic, byte[] key) {
        return events.getOrDefault(Id.of(topic, key), 0L) < MOST_EVENTS_OF_A_KEY && total < MOST_EVENTS;
    }

    /** Takes a key to be drained, unless it is taken or as many are as may be. */
    public synchronized boolean take(ParkedKey key, int most) {
        return taken.size() < most && taken.add(Id.of(key.topic(), key.key()));
    }

    /** It is not being drained any more. */
    public synchronized void release(ParkedKey key) {
        taken.remove(Id.of(key.topic(), key.key()));
    }

    /** Whether none is being drained. */
    public synchronized boolean areAllReleased() {
        return taken.isEmpty();
    }

    /** How many keys are parked. */
    public synchronized int size() {
        return events.size();
    }

    /** How many events are parked. */
    public synchronized long events() {
        return total;
    }
}
