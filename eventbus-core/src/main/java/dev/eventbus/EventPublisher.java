package dev.eventbus;

import java.util.Collection;

/**
 * Publishes events as part of a database transaction: an event exists if and only if that transaction commits.
 *
 * <pre>{@code
 * outbox.within(connection).publish(ASSET_UPDATED, new AssetUpdated(userId, ITEM_ADDED, amount));
 * }</pre>
 *
 * <p>Events of one key are delivered in publish order if their transactions serialise on that key: by a row lock that is held
 * before {@code publish}, or by {@link #lockKeys}. A publisher is used by one thread at a time, as its connection is.
 *
 * <p>Throws {@link PublishRefusedException} if an event or its connection breaks a rule, before anything is written, and
 * {@link PublishFailedException} if the database refuses the row: the transaction is then to be rolled back.
 */
public interface EventPublisher {

    /**
     * Publishes a payload under a new UUIDv7 and the current time.
     *
     * @return the event's id
     */
    <P> String publish(EventType<P> type, P payload);

    /** Publishes a whole event: own id, own time, headers. */
    void publish(Event<?> event);

    /**
     * Publishes events in the order of the collection, in as few statements as the database allows. If it throws {@link
     * PublishFailedException}, roll the transaction back: on databases that go on after a failed statement, events before the one that
     * was refused are in it.
     */
    void publishAll(Collection<? extends Event<?>> events);

    /**
     * Makes transactions of the same key follow each other, so that their events are delivered in the order of the commits: waits
     * until no other transaction holds one of these keys, and holds them until this one ends. For callers that have no row lock of
     * their own.
     *
     * <pre>{@code
     * EventPublisher events = outbox.within(connection);
     * events.lockKeys(sender, receiver); // all keys of the transaction, once, before reading what the events will tell
     * }</pre>
     *
     * <p>One call for all keys of a transaction: the locks are taken in one order whatever the order given, so two such calls never
     * deadlock. A second call with other keys could; PostgreSQL is asked, and it is refused there before anything is locked, while
     * other databases find the deadlock when it happens. A call with keys that are held already does nothing. A savepoint that is
     * rolled back gives back what was locked after it, where the database does so.
     *
     * <p>What the events will tell must be read behind the lock, and be as new as the lock. On PostgreSQL this needs READ COMMITTED:
     * above it all of a transaction reads what was committed before the wait, so no key is locked there. The same holds on H2 for
     * SNAPSHOT and SERIALIZABLE. On MariaDB and MySQL any level will do if no plain {@code SELECT} of the transaction came before.
     *
     * <p>Only callers that lock wait for each other: a transaction that publishes without it is not held up. Keys that have nothing to
     * do with each other may share a lock (there are 4,096 where the database has no advisory locks, and 2<sup>31</sup> on PostgreSQL);
     * such callers wait for each other needlessly, and no harm comes of it. How long a lock is waited for is the database's setting
     * ({@code lock_timeout} on PostgreSQL, unlimited by default; {@code innodb_lock_wait_timeout} on MariaDB, 50 s).
     *
     * @param keys event keys, in any order; a handful, since the database keeps a lock for each
     * @throws PublishRefusedException for a key that no event can have (blank, or over 255 bytes), for a connection in auto-commit mode
     *     or closed, for an isolation level above those, and for a second call with other keys where the database can tell
     * @throws PublishFailedException if the database refuses, for instance after its lock time-out; roll back
     */
    void lockKeys(String... keys);
}
