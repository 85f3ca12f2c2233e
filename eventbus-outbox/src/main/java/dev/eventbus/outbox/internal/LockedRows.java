package dev.eventbus.outbox.internal;

import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxRow.OrderKey;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.LongSupplier;
import java.util.stream.Stream;

/**
 * Rows that Kafka has and somebody keeps locked, and those of their keys behind them. They take no room from others, but are bounded
 * as these are, so that they are not read without end either. One thread only.
 */
public final class LockedRows {

    private static final long RETRY_AFTER = Duration.ofSeconds(1).toNanos();

    private final LongSupplier nanoTime;
    private final List<OutboxRow> rows = new ArrayList<>();
    private final Set<OrderKey> keys = new HashSet<>();
    private final Room room = new Room();
    private long retryAt;

    public LockedRows(LongSupplier nanoTime) {
        this.nanoTime = nanoTime;
    }

    public boolean isEmpty() {
        return rows.isEmpty();
    }

    public int size() {
        return rows.size();
    }

    public Stream<OutboxRow> stream() {
        return rows.stream();
    }

    public void add(OutboxRow row) {
        retryAt = rows.isEmpty() ? nanoTime.getAsLong() + RETRY_AFTER : retryAt;
        rows.add(row);
        keys.add(row.orderKey());
        room.take(row.event().topic(), row.bytes());
    }

    /** Whether one of the key is among them; then what follows of it must stay as well. */
    public boolean hold(OrderKey key) {
        return !keys.isEmpty() && keys.contains(key);
    }

    /** Topics of which there are so many that no more are read until somebody's transaction ends. */
    public Set<String> heldUp() {
        if (rows.isEmpty()) {
            return new HashSet<>();
        }
        Set<String> heldUp = new HashSet<>(room.full());
        if (!room.isFreeBeside(heldUp, 0)) {
            rows.forEach(row -> heldUp.add(row.event().topic()));
        }
        return heldUp;
    }

    /** Whether it is time to try again. */
    public boolean isRetryDue() {
        return nanoTime.getAsLong() - retryAt >= 0;
    }

    /** All of them, which are none from now on. */
    public List<OutboxRow> takeAll() {
        List<OutboxRow> taken = List.copyOf(rows);
        clear();
        return taken;
    }

    /** Those of a shard, which are none from now on. */
    public List<OutboxRow> takeOf(int shard) {
        List<OutboxRow> all = takeAll();
        all.stream().filter(row -> row.key().shard() != shard).forEach(this::add);
        return all.stream().filter(row -> row.key().shard() == shard).toList();
    }

    public void clear() {
        rows.clear();
        keys.clear();
        room.clear();
    }
}
