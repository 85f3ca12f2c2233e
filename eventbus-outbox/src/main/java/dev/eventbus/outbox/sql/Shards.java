package dev.eventbus.outbox.sql;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.Collection;

/**
 * Which shard a key belongs to, and which lock. The shard is stored in the row, so this function may never change: 64-bit FNV-1a
 * over the key's UTF-8 bytes.
 */
public final class Shards {

    /** How many there are; a relay refuses an outbox that was set up for another number. */
    public static final int COUNT = 16;

    private static final long OFFSET_BASIS = 0xcbf29ce484222325L;
    private static final long PRIME = 0x100000001b3L;

    private Shards() {}

    /** From 0 to {@link #COUNT} - 1. */
    public static int of(String key) {
        return of(key, COUNT);
    }

    /** The locks of keys, each from 0 to {@code locks} - 1, ascending and each once: the one order in which they may be taken. */
    static int[] locksOf(Collection<String> keys, int locks) {
        return keys.stream().mapToInt(key -> of(key, locks)).sorted().distinct().toArray();
    }

    private static int of(String key, int count) {
        long hash = OFFSET_BASIS;
        for (byte b : key.getBytes(UTF_8)) {
            hash = (hash ^ (b & 0xff)) * PRIME;
        }
        return (int) Long.remainderUnsigned(hash ^ (hash >>> 32), count);
    }
}
