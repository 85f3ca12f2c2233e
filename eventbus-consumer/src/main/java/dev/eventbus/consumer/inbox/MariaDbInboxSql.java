package dev.eventbus.consumer.inbox;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.consumer.parking.MariaDbParkingSql;
import dev.eventbus.consumer.parking.ParkingSql;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * MariaDB 10.6 and later. Ids, groups and topics are columns of bytes: no collation decides what is equal. A plain INSERT and the
 * duplicate error, never INSERT IGNORE, which cuts what is too long and so takes two ids for one.
 */
final class MariaDbInboxSql implements InboxSql {

    private static final int DUPLICATE_KEY = 1062;
    private static final int LOCK_WAIT_TIMEOUT = 1205;
    private static final int DEADLOCK = 1213;
    private static final int NO_SUCH_SAVEPOINT = 1305;

    private final String schema;
    private final Session session;
    private final String insert;
    private final String decision;
    private final String dead;
    private final String purge;

    /** @param schema quoted and followed by a dot, or empty */
    MariaDbInboxSql(String schema, Session session) {
        this.schema = schema;
        this.session = session;
        // It waits in whole seconds or not at all.
        this.insert = """
                SET STATEMENT innodb_lock_wait_timeout = 0 FOR
                INSERT INTO %seventbus_inbox
                  (consumer_group, event_id, outcome, payload_hash, topic, partition_no, record_offset, decided_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6))
                """.formatted(schema);
        this.decision = """
                SELECT outcome, payload_hash FROM %seventbus_inbox
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
        this.dead = """
                UPDATE %seventbus_inbox SET outcome = 'DEAD', decided_at = UTC_TIMESTAMP(6)
                WHERE consumer_group = ? AND event_id = ? AND outcome = 'DYING' AND payload_hash = ?
                """.formatted(schema);
        this.purge = """
                DELETE FROM %1$seventbus_inbox
                WHERE consumer_group = ? AND (? IS NULL OR FIND_IN_SET(topic, ?)) AND outcome IN ('DONE', 'DEAD', 'SKIPPED')
                  AND decided_at >= ? AND decided_at <= UTC_TIMESTAMP(6) - INTERVAL ? SECOND
                  AND NOT (outcome = 'DEAD' AND EXISTS (
                    SELECT 1 FROM %1$seventbus_parked_event event
                    WHERE event.consumer_group = %1$seventbus_inbox.consumer_group AND event.event_id = %1$seventbus_inbox.event_id))
                ORDER BY decided_at LIMIT %2$d RETURNING decided_at
                """.formatted(schema, PURGE_BATCH);
    }

    // All that stands on the right is read before anything is set.
    private static final String PREPARE = """
            SET @eventbus_isolation = @@session.tx_isolation, @eventbus_idle_limit = @@session.idle_transaction_timeout,
                @@session.tx_isolation = 'READ-COMMITTED',
                @@session.idle_transaction_timeout = IF(@@session.idle_transaction_timeout = 0, %d, @@session.idle_transaction_timeout)
            """;

    private static final String PUT_BACK = """
            SET @@session.tx_isolation = @eventbus_isolation, @@session.idle_transaction_timeout = @eventbus_idle_limit
            """;

    private static final String NEXT_ROW = "     , (?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6))\n";

    /** The server's is 0 or 1; MariaDB 12 says OFF, ON, NO_LOCK or NO_LOCK_NO_ADMIN (MDEV-36425). */
    private static final String READ_ONLY =
            "SELECT CAST(@@global.read_only AS CHAR) NOT IN ('0', 'OFF') OR @@session.tx_read_only";

    private static final String FLUSHES_AT_COMMIT = "SELECT @@global.innodb_flush_log_at_trx_commit IN (1, 3)";

    private static final String IN_NO_TRANSACTION = "SELECT NOT @@session.in_transaction";

    private static final String LOCK_TIMEOUT_ENDS_TRANSACTION = "SELECT @@global.innodb_rollback_on_timeout";

    @Override
    public String ddl() {
        return "/META-INF/eventbus/inbox/mariadb/V1__eventbus_inbox.sql";
    }

    @Override
    public String schema() {
        return schema;
    }

    @Override
    public String quoted(String name) {
        return '`' + name + '`';
    }

    @Override
    public AttemptSql attempts() {
        return new MariaDbAttemptSql(schema);
    }

    @Override
    public ParkingSql parking() {
        return new MariaDbParkingSql(schema);
    }

    @Override
    public Insertion.Inserted transaction(Connection connection) throws SQLException {
        return new Insertion.Inserted(savepoint(connection));
    }

    @Override
    public boolean ddlCommits() {
        return true;
    }

    @Override
    public Restore prepare(Connection connection) throws SQLException {
        execute(connection, PREPARE.formatted(Math.max(1, session.idleLimit().toSeconds())));
        return () -> execute(connection, PUT_BACK);
    }

    /** No statement lists what a session has; a new one has nothing. */
    @Override
    public Leftovers remember(Connection connection) {
        return used -> false;
    }

    @Override
    public Insertion insert(Connection connection, Mark mark, Outcome outcome, int waitMillis) throws SQLException {
        Insertion refused = insert(connection, insert, List.of(mark), outcome);
        return refused != null ? refused : new Insertion.Inserted(savepoint(connection));
    }

    @Override
    public @Nullable List<Insertion> insertAll(Connection connection, List<Mark> marks) throws SQLException {
        if (insert(connection, insert + NEXT_ROW.repeat(marks.size() - 1), marks, Outcome.DONE) != null) {
            return null;
        }
        return Collections.nCopies(marks.size(), new Insertion.Inserted(savepoint(connection)));
    }

    /** A statement that fails leaves the transaction as it was, see {@link #unfit}; had the server ended it, the savepoint is gone. */
    @Override
    public List<Insertion> insertEach(Connection connection, List<Mark> marks) throws SQLException {
        Insertion.Inserted ours = new Insertion.Inserted(savepoint(connection));
        List<Insertion> insertions = new ArrayList<>();
        for (Mark mark : marks) {
            Insertion refused = insert(connection, insert, List.of(mark), Outcome.DONE);
            insertions.add(refused != null ? refused : ours);
        }
        return insertions;
    }

    /** One statement of as many rows as there are marks; null if they are inserted. */
    private static @Nullable Insertion insert(Connection connection, String sql, List<Mark> marks, Outcome outcome)
            throws SQLException {
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
            return null;
        } catch (SQLException e) {
            return switch (e.getErrorCode()) {
                case DUPLICATE_KEY -> new Insertion.Taken();
                case LOCK_WAIT_TIMEOUT -> new Insertion.Held();
                default -> throw e;
            };
        }
    }

    private static String savepoint(Connection connection) throws SQLException {
        // It ends with its transaction, whatever ended that: DDL, a commit inside a procedure, a swallowed deadlock.
        String savepoint = "eventbus_" + UUID.randomUUID().toString().replace('-', '_');
        execute(connection, "SAVEPOINT " + savepoint);
        return savepoint;
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

    /** Durability is the server's setting: see {@link #unfit}. */
    @Override
    public boolean seal(Connection connection, Insertion.Inserted mark) throws SQLException {
        try {
            execute(connection, "RELEASE SAVEPOINT " + mark.transaction());
            return true;
        } catch (SQLException e) {
            if (e.getErrorCode() == NO_SUCH_SAVEPOINT) {
                return false;
            }
            throw e;
        }
    }

    /**
     * A savepoint cannot be asked for without ending those that the handler has set. A deadlock's victim is rolled back whole; if its
     * statement was one of a batch, those behind it have begun another transaction by now.
     */
    @Override
    public boolean isGone(Connection connection, Insertion.Inserted mark, SQLException failure) throws SQLException {
        return isDeadlock(failure) || isTrue(connection, IN_NO_TRANSACTION);
    }

    private static boolean isDeadlock(SQLException failure) {
        for (SQLException one = failure; one != null; one = one.getNextException()) {
            if (one.getErrorCode() == DEADLOCK) {
                return true;
            }
        }
        return false;
    }

    @Override
    public Purged purge(Connection connection, Aged marks, Instant since) throws SQLException {
        byte[] topics = marks.topics() == null ? null : utf8(marks.topics());
        try (PreparedStatement statement = connection.prepareStatement(purge)) {
            statement.setBytes(1, utf8(marks.group()));
            statement.setBytes(2, topics);
            statement.setBytes(3, topics);
            statement.setObject(4, LocalDateTime.ofInstant(since, ZoneOffset.UTC));
            statement.setLong(5, marks.olderThan().toSeconds());
            try (ResultSet rows = statement.executeQuery()) {
                int deleted = 0;
                Instant last = since;
                while (rows.next()) {
                    deleted++;
                    Instant decided = rows.getObject(1, LocalDateTime.class).toInstant(ZoneOffset.UTC);
                    last = decided.isAfter(last) ? decided : last;
                }
                return new Purged(deleted, last);
            }
        }
    }

    @Override
    public boolean readOnly(Connection connection) throws SQLException {
        return isTrue(connection, READ_ONLY);
    }

    @Override
    public List<String> unfit(Connection connection) throws SQLException {
        List<String> unfit = new ArrayList<>();
        if (!isTrue(connection, FLUSHES_AT_COMMIT)) {
            unfit.add(
                    "innodb_flush_log_at_trx_commit is neither 1 nor 3: a crash could undo an effect whose offset is committed (P6);"
                            + " set it to 1");
        }
        if (isTrue(connection, LOCK_TIMEOUT_ENDS_TRANSACTION)) {
            unfit.add(
                    "innodb_rollback_on_timeout is ON: a lock time-out undoes the whole transaction with its marks, not one"
                            + " statement, so one mark held elsewhere undoes each batch beside it, and a handler that goes on after a"
                            + " time-out fails every time (P9); start the server with innodb_rollback_on_timeout=OFF, its default");
        }
        return unfit;
    }

    private static boolean isTrue(Connection connection, String query) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(query);
                ResultSet row = statement.executeQuery()) {
            row.next();
            return row.getBoolean(1);
        }
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static byte[] utf8(String text) {
        return text.getBytes(UTF_8);
    }
}
