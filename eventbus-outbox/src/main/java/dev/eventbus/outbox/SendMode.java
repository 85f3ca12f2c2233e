package dev.eventbus.outbox;

/** How a relay hands events to Kafka. Either way nothing is lost and no event of a key overtakes another. */
public enum SendMode {

    /**
     * One producer for all shards, with events on their way all the time: fast, and order holds for every reader. A failed send ends
     * the producer at once; what was on its way is sent again, so a fault repeats up to 4,000 events.
     */
    PIPELINED,

    /**
     * A producer of its own for each shard, and each batch one Kafka transaction: readers with {@code isolation.level=read_committed}
     * see all of a batch or nothing, and never an event of a relay that has lost its shard, since the cluster shuts that one out. A
     * failed event undoes its batch, which is sent again without it. Other readers see the events of batches that were undone.
     *
     * <p>Costs: up to half of the throughput; an event is seen when its batch is committed; after a crash {@code read_committed} readers
     * wait for the end of the batch that was open, which the next relay ends when it takes the shard, or else the cluster after the lease
     * and its {@code transaction.abort.timed.out.transaction.cleanup.interval.ms} (10 s). While a partition has fewer replicas in sync than
     * {@code min.insync.replicas}, the cluster cannot end a transaction that has written to it, so all events of the shards that did wait,
     * also those of other topics. On a secured cluster the relay needs the ACL
     * Write on transactional ids with the prefix {@code eventbus-}.
     */
    STRICT
}
