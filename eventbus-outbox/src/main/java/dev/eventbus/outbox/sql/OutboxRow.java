package dev.eventbus.outbox.sql;

import com.fasterxml.jackson.core.JsonProcessingException;
import dev.eventbus.EncodedEvent;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.Map;
import java.util.Objects;

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

    /**
     * Reads the rows of one page, in the columns of {@link OutboxSql#fetch}. What is mostly the same in a row and the one before it is
     * then the same string, which knows its hash.
     */
    static final class Reader {

        private final OutboxSql sql;
        private String topic = "";
        private String type = "";
        private String contentType = "";

        Reader(OutboxSql sql) {
            this.sql = sql;
        }

        OutboxRow read(ResultSet row, int shard) throws SQLException {
            Map<String, String> headers = Map.of();
            String unreadable = "";
            try {
                headers = OutboxJson.readHeaders(row.getString(10));
            } catch (JsonProcessingException e) {
                unreadable = "column headers is no JSON object of strings";
            }
            topic = same(topic, row.getString(6));
            type = same(type, row.getString(8));
            contentType = same(contentType, row.getString(11));
            EncodedEvent event = new EncodedEvent(
                    row.getString(5),
                    type,
                    topic,
                    Objects.requireNonNullElse(row.getString(7), ""),
                    row.getBytes(9),
                    contentType,
                    row.getString(12),
                    row.getString(13),
                    headers);
            return new OutboxRow(
                    new RowKey(shard, row.getLong(4), event.id()),
                    event,
                    Objects.requireNonNull(sql.instant(row, 14)),
                    row.getInt(15),
                    sql.place(row),
                    unreadable);
        }

        private static String same(String last, String read) {
            return last.equals(read) ? last : read;
        }
    }
}
