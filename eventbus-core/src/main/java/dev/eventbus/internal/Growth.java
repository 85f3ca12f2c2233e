package dev.eventbus.internal;

import java.time.Duration;

/**
 * What relays and consumers keep to when the new partitions of a topic are adopted: a key may move to a partition of another runner, which
 * must know by then that the key is parked.
 */
public final class Growth {

    /** A runner handles no event with a picture of its group's parked keys that is older than that. */
    public static final Duration PARKED_KEYS_BELIEVED = Duration.ofSeconds(10);

    /** So long after a group has passed the old ends its runners know what it has parked until then; more, since clocks differ. */
    public static final Duration RUNNERS_KNOW = Duration.ofSeconds(12);

    private Growth() {}
}
