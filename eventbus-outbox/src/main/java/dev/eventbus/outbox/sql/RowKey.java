package dev.eventbus.outbox.sql;

/**
 * What names a row of the outbox for good. The event id belongs to it, since a restored database issues sequence numbers again.
 *
 * @param shard hash of the key modulo the number of shards
 * @param seq place in the shard's order
 * @param id event id
 */
public record RowKey(int shard, long seq, String id) {

    /** Of the number alone, which tells nearly all rows apart. */
    @Override
    public int hashCode() {
        return Long.hashCode(seq);
    }
}
