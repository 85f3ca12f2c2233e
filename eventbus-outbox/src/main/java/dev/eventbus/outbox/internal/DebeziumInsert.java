package dev.eventbus.outbox.internal;

import dev.eventbus.EncodedEvent;
import dev.eventbus.outbox.sql.OutboxSql;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.RowKey;
import dev.eventbus.outbox.sql.Shards;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

/**
 * Writes events for Debezium, which reads them from the database's log: each row is inserted and deleted in one transaction, so the
 * table stays empty. Stateless.
 */
public record DebeziumInsert(OutboxSql sql) {

    /** Rows that are written with one round trip each for their inserts and their deletes. */
    private static final int BATCH = 500;

    private static final String[] NUMBER = {"seq"};

    /** In this order. Returns false, with nothing left, if the session cannot keep the promise. */
    public boolean insert(Connection connection, List<EncodedEvent> events) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql.insert(), NUMBER)) {
            for (int from = 0; from < events.size(); from += BATCH) {
                List<EncodedEvent> batch = events.subList(from, Math.min(from + BATCH, events.size()));
                List<RowKey> rows = insert(statement, batch);
                if (rows.size() < batch.size()) {
                    return false;
                }
                try (PreparedStatement delete = sql.deleteOwn(connection, rows)) {
                    delete.execute();
                }
            }
            return true;
        }
    }

    private static List<RowKey> insert(PreparedStatement statement, List<EncodedEvent> events) throws SQLException {
        for (EncodedEvent event : events) {
            OutboxStore.bind(statement, event);
            statement.addBatch();
        }
        statement.executeBatch();
        List<RowKey> rows = new ArrayList<>(events.size());
        try (ResultSet numbers = statement.getGeneratedKeys()) {
            while (numbers.next()) {
                EncodedEvent event = events.get(rows.size());
                rows.add(new RowKey(Shards.of(event.key()), numbers.getLong(1), event.id()));
            }
        }
        return rows;
    }
}
