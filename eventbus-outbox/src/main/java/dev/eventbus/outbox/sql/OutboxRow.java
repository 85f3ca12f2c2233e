package dev.eventbus.outbox.sql;

import dev.eventbus.EncodedEvent;
import java.time.Instant;

/**
 * An event as it was read from the outbox.
 *
 * @param key what names its row
 * @param event what is to be sent
 * @param createdAt when it was published
 * @param bytes of its payload and of its headers as they are stored, as the database has counted them
 * @param place where the database had the row when it was read, in its own words: a short cut to it, no name; empty where there is none
 * @param unreadable why its headers cannot be sent; empty for every row that this library wrote
 */
public record OutboxRow(RowKey key, EncodedEvent event, Instant createdAt, int bytes, String place, String unreadable) {

    /** Topic and key: what order is kept for. */
    public OrderKey orderKey() {
        return new OrderKey(event.topic(), event.key());
    }

    /** Events of one topic and key stay in order. */
    public record OrderKey(String topic, String key) {}
}
