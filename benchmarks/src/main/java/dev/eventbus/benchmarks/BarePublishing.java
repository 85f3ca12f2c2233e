package dev.eventbus.benchmarks;

import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.eventbus.outbox.sql.Shards;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.UUID;

/** Without any library: a business row, then the event by a plain INSERT, and perhaps its DELETE at once. */
final class BarePublishing implements Publishing {

    static final String BUSINESS_TABLE = """
            CREATE TABLE IF NOT EXISTS business (
              id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text NOT NULL, amount bigint NOT NULL)
            """;
    static final String BUSINESS_ROW = "INSERT INTO business (owner, amount) VALUES (?, ?)";

    private static final String OUTBOX_ROW = """
            INSERT INTO eventbus_outbox (shard, id, aggregatetype, aggregateid, type, payload, content_type, created_at)
            VALUES (?, ?, ?, ?, ?, ?, 'application/json', clock_timestamp())
            """;
    private static final String OUTBOX_ROW_TELLING_SEQ = OUTBOX_ROW + " RETURNING seq";
    private static final String RAW_ROW = "INSERT INTO raw_outbox (key, payload) VALUES (?, ?)";
    private static final String OUTBOX_DELETE = "DELETE FROM eventbus_outbox WHERE shard = ? AND seq = ?";

    /** Which statements write the event. */
    enum Style {
        RAW_TABLE,
        OUTBOX_TABLE,
        OUTBOX_TABLE_AND_DELETE
    }

    private final Connection connection;
    private final Style style;
    private final String topic;
    private final Runnable afterCommit;
    private final PreparedStatement business;
    private final PreparedStatement insert;
    private final PreparedStatement delete;

    BarePublishing(Connection connection, Style style, String topic, Runnable afterCommit) throws SQLException {
        this.connection = connection;
        this.style = style;
        this.topic = topic;
        this.afterCommit = afterCommit;
        connection.setAutoCommit(false);
        this.business = connection.prepareStatement(BUSINESS_ROW);
        this.insert = connection.prepareStatement(
                switch (style) {
                    case RAW_TABLE -> RAW_ROW;
                    case OUTBOX_TABLE -> OUTBOX_ROW;
                    case OUTBOX_TABLE_AND_DELETE -> OUTBOX_ROW_TELLING_SEQ;
                });
        this.delete = connection.prepareStatement(OUTBOX_DELETE);
    }

    @Override
    public void publish(long number) throws SQLException {
        String key = SampleEvents.key(number);
        business.setString(1, key);
        business.setLong(2, number);
        business.executeUpdate();
        byte[] value = SampleEvents.value(number).getBytes(US_ASCII);
        if (style == Style.RAW_TABLE) {
            insert.setString(1, key);
            insert.setBytes(2, value);
            insert.executeUpdate();
        } else {
            insertIntoOutbox(key, value);
        }
        connection.commit();
        afterCommit.run();
    }

    private void insertIntoOutbox(String key, byte[] value) throws SQLException {
        int shard = Shards.of(key);
        insert.setInt(1, shard);
        insert.setString(2, UUID.randomUUID().toString());
        insert.setString(3, topic);
        insert.setString(4, key);
        insert.setString(5, SampleEvents.TYPE);
        insert.setBytes(6, value);
        if (style == Style.OUTBOX_TABLE) {
            insert.executeUpdate();
            return;
        }
        try (ResultSet row = insert.executeQuery()) {
            row.next();
            delete.setInt(1, shard);
            delete.setLong(2, row.getLong(1));
            delete.executeUpdate();
        }
    }

    @Override
    public void close() throws SQLException {
        connection.close();
    }
}
