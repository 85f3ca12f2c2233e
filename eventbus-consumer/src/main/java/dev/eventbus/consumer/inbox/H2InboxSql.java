package dev.eventbus.consumer.inbox;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.consumer.parking.H2ParkingSql;
import dev.eventbus.consumer.parking.ParkingSql;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** H2 2.3 and later, in every compatibility mode. Ids, groups and topics are binary columns: no mode decides what is equal. */
final class H2InboxSql implements InboxSql {

    private static final String DUPLICATE_KEY = "23505";
    private static final String LOCK_TIMEOUT = "HYT00";
    private static final String CONCURRENT_UPDATE = "90131";

    private final String schema;
    private final String insert;
    private final String decision;
    private final String dead;
    private final String purge;

    /** @param schema quoted and followed by a dot, or empty */
    H2InboxSql(String schema) {
        this.schema = schema;
        this.insert = """
                INSERT INTO %seventbus_inbox
                  (consumer_group, event_id, outcome, payload_hash, topic, partition_no, record_offset, decided_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, CURRENT_TIMESTAMP(6))
                """.formatted(schema);
        this.decision = """
                SELECT outcome, payload_hash FROM %seventbus_inbox
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
        this.dead = """
                UPDATE %seventbus_inbox SET outcome = 'DEAD', decided_at = CURRENT_TIMESTAMP(6)
                WHERE consumer_group = ? AND event_id = ? AND outcome = 'DYING' AND payload_hash = ?
                """.formatted(schema);
        this.purge = """
                DELETE FROM %1$seventbus_inbox
                WHERE consumer_group = ? AND outcome IN ('DONE', 'DEAD', 'SKIPPED')
                  AND (CAST(? AS varchar) IS NULL OR LOCATE(',' || UTF8TOSTRING(topic) || ',', ?) > 0)
                  AND decided_at <= DATEADD(SECOND, -CAST(? AS bigint), CURRENT_TIMESTAMP(6))
                  AND NOT (outcome = 'DEAD' AND EXISTS (
                    SELECT 1 FROM %1$seventbus_parked_event event
                    WHERE event.consumer_group = %1$seventbus_inbox.consumer_group AND event.event_id = %1$seventbus_inbox.event_id))
                FETCH FIRST %2$d ROWS ONLY
                """.formatted(schema, PURGE_BATCH);
    }

    private static final String NEXT_ROW = "     , (?, ?, ?, ?, ?, ?, ?, CURRENT_TIMESTAMP(6))\n";
    private static final String LOCK_TIMEOUT_NOW = "SELECT LOCK_TIMEOUT()";
    private static final String SET_LOCK_TIMEOUT = "SET LOCK_TIMEOUT ";
    private static final String TRANSACTION_ID = "SELECT TRANSACTION_ID()";
    private static final String READ_ONLY = "SELECT READONLY()";

    @Override
    public String ddl() {
        return "/META-INF/eventbus/inbox/h2/V1__eventbus_inbox.sql";
    }

    @Override
    public String schema() {
        return schema;
    }

    @Override
    public String quoted(String name) {
        return '"' + name + '"';
    }

    @Override
    public AttemptSql attempts() {
        return new H2AttemptSql(schema);
    }

    @Override
    public ParkingSql parking() {
        return new H2ParkingSql(schema);
    }

    @Override
    public Insertion.Inserted transaction(Connection connection) throws SQLException {
        return new Insertion.Inserted(transactionId(connection));
    }

    @Override
    public boolean ddlCommits() {
        return true;
    }

    @Override
    public Restore prepare(Connection connection) throws SQLException {
        int before = connection.getTransactionIsolation();
        if (before == Connection.TRANSACTION_READ_COMMITTED) {
            return () -> {};
        }
        connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        return () -> connection.setTransactionIsolation(before);
    }

    /** A handler's SET is refused: H2 can neither tell what a session has nor be made to end one. */
    @Override
    public @Nullable Leftovers remember(Connection connection) {
        return null;
    }

    @Override
    public Insertion insert(Connection connection, Mark mark, Outcome outcome, int waitMillis) throws SQLException {
        return insert(connection, insert, List.of(mark), outcome, waitMillis);
    }

    @Override
    public @Nullable List<Insertion> insertAll(Connection connection, List<Mark> marks) throws SQLException {
        String rows = insert + NEXT_ROW.repeat(marks.size() - 1);
        Insertion all = insert(connection, rows, marks, Outcome.DONE, MARK_LOCK_TIMEOUT_MILLIS);
        return all instanceof Insertion.Inserted ? Collections.nCopies(marks.size(), all) : null;
    }

    /** A statement that fails leaves the transaction as it was. */
    @Override
    public List<Insertion> insertEach(Connection connection, List<Mark> marks) throws SQLException {
        List<Insertion> insertions = new ArrayList<>();
        for (Mark mark : marks) {
            insertions.add(insert(connection, mark, Outcome.DONE, AGAIN_LOCK_TIMEOUT_MILLIS));
        }
        return insertions;
    }

    /** One statement of as many rows as there are marks. */
    private Insertion insert(Connection connection, String sql, List<Mark> marks, Outcome outcome, int waitMillis)
            throws SQLException {
        int before = lockTimeout(connection);
        setLockTimeout(connection, waitMillis);
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            int at = 1;
            for (Mark mark : marks) {
                statement.setBytes(at++, utf8(mark.group()));
                statement.setBytes(at++, utf8(mark.eventId()));
                statement.setString(at++, outcome.name());
                statement.setBytes(at++, mark.payloadHash());
                statement.setBytes(at++, utf8(mark.topic()));
                statement.setInt(at++, mark.partition());
                statement.setLong(at++, mark.offset());
            }
            statement.executeUpdate();
        } catch (SQLException e) {
            return switch (String.valueOf(e.getSQLState())) {
                case DUPLICATE_KEY -> new Insertion.Taken();
                case LOCK_TIMEOUT, CONCURRENT_UPDATE -> new Insertion.Held();
                default -> throw e;
            };
        } finally {
            setLockTimeout(connection, before);
        }
        return new Insertion.Inserted(transactionId(connection));
    }

    @Override
    public @Nullable Decision decision(Connection connection, Mark mark) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(decision)) {
            statement.setBytes(1, utf8(mark.group()));
            statement.setBytes(2, utf8(mark.eventId()));
            try (ResultSet row = statement.executeQuery()) {
                return row.next() ? new Decision(Outcome.valueOf(row.getString(1)), row.getBytes(2)) : null;
            }
        }
    }

    @Override
    public void dead(Connection connection, Mark mark) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(dead)) {
            statement.setBytes(1, utf8(mark.group()));
            statement.setBytes(2, utf8(mark.eventId()));
            statement.setBytes(3, mark.payloadHash());
            statement.executeUpdate();
        }
    }

    /** H2's write delay is the database's own setting, not the session's: nothing to make durable here. */
    @Override
    public boolean seal(Connection connection, Insertion.Inserted mark) throws SQLException {
        return mark.transaction().equals(transactionId(connection));
    }

    @Override
    public boolean isGone(Connection connection, Insertion.Inserted mark, SQLException failure) throws SQLException {
        return !mark.transaction().equals(transactionId(connection));
    }

    private static String transactionId(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(TRANSACTION_ID);
                ResultSet row = statement.executeQuery()) {
            row.next();
            return String.valueOf(row.getString(1));
        }
    }

    /** In no order, so the next batch begins where this one did: H2 is for demos. */
    @Override
    public Purged purge(Connection connection, Aged marks, Instant since) throws SQLException {
        String topics = marks.topics() == null ? null : ',' + marks.topics() + ',';
        try (PreparedStatement statement = connection.prepareStatement(purge)) {
            statement.setBytes(1, utf8(marks.group()));
            statement.setString(2, topics);
            statement.setString(3, topics);
            statement.setLong(4, marks.olderThan().toSeconds());
            return new Purged(statement.executeUpdate(), since);
        }
    }

    @Override
    public List<String> unfit(Connection connection) {
        return List.of();
    }

    @Override
    public boolean readOnly(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(READ_ONLY);
                ResultSet row = statement.executeQuery()) {
            row.next();
            return row.getBoolean(1);
        }
    }

    private static int lockTimeout(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(LOCK_TIMEOUT_NOW);
                ResultSet row = statement.executeQuery()) {
            row.next();
            return row.getInt(1);
        }
    }

    private static void setLockTimeout(Connection connection, int millis) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(SET_LOCK_TIMEOUT + millis); // the grammar has no parameter here
        }
    }

    private static byte[] utf8(String text) {
        return text.getBytes(UTF_8);
    }
}
