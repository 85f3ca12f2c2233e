package dev.eventbus.consumer.inbox;

import dev.eventbus.consumer.parking.ParkingSql;
import dev.eventbus.consumer.parking.PostgresParkingSql;
import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/** PostgreSQL 13 and later. */
final class PostgresInboxSql implements InboxSql {

    private static final String LOCK_NOT_AVAILABLE = "55P03";

    private final String schema;
    private final Session session;
    private final String begin;
    private final String insert;
    private final String insertAll;
    private final String insertOneOfMany;
    private final String decision;
    private final String dead;
    private final String purge;

    /** @param schema quoted and followed by a dot, or empty */
    PostgresInboxSql(String schema, Session session) {
        this.schema = schema;
        this.session = session;
        // One round trip. Isolation, limits and lock time-out are the transaction's own, so they need no putting back
        // in the session; the handler gets the lock time-out that the session had. Without the unique index
        // ON CONFLICT is an error.
        String settings = """
                SELECT set_config('eventbus.lock_timeout', current_setting('lock_timeout'), true),
                       set_config('lock_timeout', ?, true),
                       set_config('eventbus.idle_limit', current_setting('idle_in_transaction_session_timeout'), true),
                       set_config('idle_in_transaction_session_timeout',
                         CASE current_setting('idle_in_transaction_session_timeout')
                           WHEN '0' THEN ? ELSE current_setting('idle_in_transaction_session_timeout') END, true);
                """;
        this.begin = session.ours() ? "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;\n" + settings : settings;
        this.insert = begin + """
                INSERT INTO %seventbus_inbox
                  (consumer_group, event_id, outcome, payload_hash, topic, partition_no, record_offset, decided_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, clock_timestamp())
                ON CONFLICT (consumer_group, event_id) DO NOTHING;
                """.formatted(schema) + END;
        // Sorted by the caller and inserted in that order, so that two owners of the same marks wait for each other and
        // never in a circle.
        this.insertAll = begin + """
                INSERT INTO %seventbus_inbox
                  (consumer_group, event_id, outcome, payload_hash, topic, partition_no, record_offset, decided_at)
                SELECT ?, mark.event_id, 'DONE', mark.payload_hash, mark.topic, mark.partition_no, mark.record_offset,
                       clock_timestamp()
                FROM unnest(?, ?, ?, ?, ?) WITH ORDINALITY
                  AS mark (event_id, payload_hash, topic, partition_no, record_offset, ord)
                ORDER BY mark.ord
                ON CONFLICT (consumer_group, event_id) DO NOTHING
                RETURNING event_id;
                """.formatted(schema) + END;
        this.insertOneOfMany = """
                SAVEPOINT eventbus_mark;
                INSERT INTO %seventbus_inbox
                  (consumer_group, event_id, outcome, payload_hash, topic, partition_no, record_offset, decided_at)
                VALUES (?, ?, 'DONE', ?, ?, ?, ?, clock_timestamp())
                ON CONFLICT (consumer_group, event_id) DO NOTHING;
                RELEASE SAVEPOINT eventbus_mark
                """.formatted(schema);
        this.decision = """
                SELECT outcome, payload_hash FROM %seventbus_inbox
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
        this.dead = """
                UPDATE %seventbus_inbox SET outcome = 'DEAD', decided_at = clock_timestamp()
                WHERE consumer_group = ? AND event_id = ? AND outcome = 'DYING' AND payload_hash = ?
                """.formatted(schema);
        this.purge = """
                WITH gone AS (DELETE FROM %1$seventbus_inbox WHERE ctid = ANY (ARRAY(
                  SELECT mark.ctid FROM %1$seventbus_inbox mark
                  WHERE consumer_group = ? AND topic = ANY (coalesce(string_to_array(?, ','), ARRAY[topic]))
                    AND outcome IN ('DONE', 'DEAD', 'SKIPPED')
                    AND decided_at >= ? AND decided_at <= statement_timestamp() - make_interval(secs => ?)
                    AND NOT (outcome = 'DEAD' AND EXISTS (
                      SELECT 1 FROM %1$seventbus_parked_event event
                      WHERE event.consumer_group = mark.consumer_group AND event.event_id = mark.event_id))
                  ORDER BY decided_at LIMIT %2$d FOR UPDATE SKIP LOCKED)) RETURNING decided_at)
                SELECT count(*), max(decided_at) FROM gone
                """.formatted(schema, PURGE_BATCH);
    }

    private static final String END = """
            SELECT pg_current_xact_id_if_assigned()::text,
                   set_config('lock_timeout', current_setting('eventbus.lock_timeout'), true)
            """;

    private static final String TRANSACTION = "SELECT pg_current_xact_id_if_assigned()::text";

    private static final String STATUS = "SELECT pg_xact_status(?::xid8)";

    private static final String WITHOUT_THAT_MARK = "ROLLBACK TO SAVEPOINT eventbus_mark";

    // What synchronous_commit is when COMMIT comes decides; remote_apply is the one setting that waits for more than
    // 'on'.
    private static final String SEAL = """
            SELECT pg_current_xact_id_if_assigned()::text,
                   set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                     WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)
            """;

    // What a pool has set, and not what stands in the server's configuration or comes with the connection.
    private static final String SETTINGS = """
            SELECT name, CASE name WHEN 'idle_in_transaction_session_timeout'
                         THEN coalesce(nullif(current_setting('eventbus.idle_limit', true), ''), setting) ELSE setting END
            FROM pg_settings
            WHERE source = 'session' AND name NOT LIKE 'transaction\\_%' AND name NOT LIKE 'eventbus.%'
            UNION ALL SELECT 'session_authorization', current_setting('session_authorization')
            UNION ALL SELECT 'role', current_setting('role')
            """;

    // No DISCARD ALL: it runs outside of transactions only, and undoes what the pool has set.
    private static final String CLEAR = """
            CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; DISCARD TEMP; RESET ALL; SELECT pg_advisory_unlock_all();
            SELECT set_config(setting.name, setting.value, false)
            FROM unnest(?::text[], ?::text[]) WITH ORDINALITY AS setting (name, value, ord) ORDER BY ord
            """;

    // also on in a standby
    private static final String READ_ONLY = "SELECT current_setting('transaction_read_only')";

    @Override
    public String ddl() {
        return "/META-INF/eventbus/inbox/postgresql/V1__eventbus_inbox.sql";
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
        return new PostgresAttemptSql(schema);
    }

    @Override
    public ParkingSql parking() {
        return new PostgresParkingSql(schema);
    }

    @Override
    public void begin(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(begin + END)) {
            statement.setString(1, MARK_LOCK_TIMEOUT_MILLIS + "ms");
            statement.setString(2, session.idleLimit().toMillis() + "ms");
            statement.execute();
        }
    }

    @Override
    public Insertion.@Nullable Inserted transaction(Connection connection) throws SQLException {
        String id = text(connection, TRANSACTION);
        return id == null ? null : new Insertion.Inserted(id);
    }

    @Override
    public boolean ddlCommits() {
        return false;
    }

    @Override
    public Restore prepare(Connection connection) {
        return () -> {}; // the insert does it
    }

    @Override
    public Leftovers remember(Connection connection) throws SQLException {
        List<String> names = new ArrayList<>();
        List<String> values = new ArrayList<>();
        try (Statement statement = connection.createStatement();
                ResultSet settings = statement.executeQuery(SETTINGS)) {
            while (settings.next()) {
                names.add(settings.getString(1));
                values.add(settings.getString(2));
            }
        }
        return used -> {
            try (PreparedStatement clear = used.prepareStatement(CLEAR)) {
                clear.setArray(1, used.createArrayOf("text", names.toArray()));
                clear.setArray(2, used.createArrayOf("text", values.toArray()));
                clear.execute();
            }
            used.commit();
            return true;
        };
    }

    @Override
    public Insertion insert(Connection connection, Mark mark, Outcome outcome, int waitMillis) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            statement.setString(1, waitMillis + "ms");
            statement.setString(2, session.idleLimit().toMillis() + "ms");
            statement.setString(3, mark.group());
            statement.setString(4, mark.eventId());
            statement.setString(5, outcome.name());
            statement.setBytes(6, mark.payloadHash());
            statement.setString(7, mark.topic());
            statement.setInt(8, mark.partition());
            statement.setLong(9, mark.offset());
            statement.execute();
            if (session.ours()) {
                statement.getMoreResults(); // settings
            }
            statement.getMoreResults(); // INSERT
            if (statement.getUpdateCount() == 0) {
                return new Insertion.Taken();
            }
            statement.getMoreResults();
            try (ResultSet row = statement.getResultSet()) {
                row.next();
                return new Insertion.Inserted(row.getString(1));
            }
        } catch (SQLException e) {
            if (LOCK_NOT_AVAILABLE.equals(e.getSQLState())) {
                return new Insertion.Held();
            }
            throw e;
        }
    }

    @Override
    public @Nullable List<Insertion> insertAll(Connection connection, List<Mark> marks) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(insertAll)) {
            statement.setString(1, MARK_LOCK_TIMEOUT_MILLIS + "ms");
            statement.setString(2, session.idleLimit().toMillis() + "ms");
            statement.setString(3, marks.get(0).group());
            statement.setArray(4, array(connection, "text", marks, Mark::eventId, String[]::new));
            statement.setArray(5, array(connection, "bytea", marks, Mark::payloadHash, byte[][]::new));
            statement.setArray(6, array(connection, "text", marks, Mark::topic, String[]::new));
            statement.setArray(7, array(connection, "int4", marks, Mark::partition, Integer[]::new));
            statement.setArray(8, array(connection, "int8", marks, Mark::offset, Long[]::new));
            statement.execute();
            if (session.ours()) {
                statement.getMoreResults(); // settings
            }
            statement.getMoreResults(); // INSERT
            Set<String> inserted = new HashSet<>();
            try (ResultSet rows = statement.getResultSet()) {
                while (rows.next()) {
                    inserted.add(rows.getString(1));
                }
            }
            statement.getMoreResults();
            try (ResultSet row = statement.getResultSet()) {
                row.next();
                String transaction = row.getString(1);
                return marks.stream()
                        .<Insertion>map(mark -> inserted.contains(mark.eventId())
                                ? new Insertion.Inserted(transaction)
                                : new Insertion.Taken())
                        .toList();
            }
        } catch (SQLException e) {
            if (LOCK_NOT_AVAILABLE.equals(e.getSQLState())) {
                return null;
            }
            throw e;
        }
    }

    @Override
    public List<Insertion> insertEach(Connection connection, List<Mark> marks) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(begin)) {
            statement.setString(1, AGAIN_LOCK_TIMEOUT_MILLIS + "ms");
            statement.setString(2, session.idleLimit().toMillis() + "ms");
            statement.execute();
        }
        List<@Nullable Boolean> inserted = new ArrayList<>();
        for (Mark mark : marks) {
            inserted.add(insertOneOfMany(connection, mark));
        }
        String transaction = text(connection, END);
        List<Insertion> insertions = new ArrayList<>();
        for (Boolean ours : inserted) {
            insertions.add(
                    ours == null
                            ? new Insertion.Held()
                            : ours ? new Insertion.Inserted(String.valueOf(transaction)) : new Insertion.Taken());
        }
        return insertions;
    }

    /** Null if it is held by another owner. */
    private @Nullable Boolean insertOneOfMany(Connection connection, Mark mark) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(insertOneOfMany)) {
            statement.setString(1, mark.group());
            statement.setString(2, mark.eventId());
            statement.setBytes(3, mark.payloadHash());
            statement.setString(4, mark.topic());
            statement.setInt(5, mark.partition());
            statement.setLong(6, mark.offset());
            statement.execute();
            statement.getMoreResults(); // INSERT
            return statement.getUpdateCount() > 0;
        } catch (SQLException e) {
            if (!LOCK_NOT_AVAILABLE.equals(e.getSQLState())) {
                throw e;
            }
            try (Statement statement = connection.createStatement()) {
                statement.execute(WITHOUT_THAT_MARK);
            }
            return null;
        }
    }

    private static <T> Array array(
            Connection connection, String type, List<Mark> marks, Function<Mark, T> component, IntFunction<T[]> array)
            throws SQLException {
        return connection.createArrayOf(type, marks.stream().map(component).toArray(array));
    }

    @Override
    public @Nullable Decision decision(Connection connection, Mark mark) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(decision)) {
            statement.setString(1, mark.group());
            statement.setString(2, mark.eventId());
            try (ResultSet row = statement.executeQuery()) {
                return row.next() ? new Decision(Outcome.valueOf(row.getString(1)), row.getBytes(2)) : null;
            }
        }
    }

    @Override
    public void dead(Connection connection, Mark mark) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(dead)) {
            statement.setString(1, mark.group());
            statement.setString(2, mark.eventId());
            statement.setBytes(3, mark.payloadHash());
            statement.executeUpdate();
        }
    }

    @Override
    public boolean seal(Connection connection, Insertion.Inserted mark) throws SQLException {
        return mark.transaction().equals(text(connection, SEAL));
    }

    @Override
    public @Nullable Boolean hasCommitted(Connection connection, Insertion.Inserted mark) throws SQLException {
        String status = text(connection, STATUS, mark.transaction());
        return "committed".equals(status) ? Boolean.TRUE : "aborted".equals(status) ? Boolean.FALSE : null;
    }

    private static @Nullable String text(Connection connection, String query, String... values) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(query)) {
            for (int i = 0; i < values.length; i++) {
                statement.setString(i + 1, values[i]);
            }
            try (ResultSet row = statement.executeQuery()) {
                row.next();
                return row.getString(1);
            }
        }
    }

    @Override
    public Purged purge(Connection connection, Aged marks, Instant since) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(purge)) {
            statement.setString(1, marks.group());
            statement.setString(2, marks.topics());
            statement.setObject(3, since.atOffset(ZoneOffset.UTC));
            statement.setDouble(4, (double) marks.olderThan().toSeconds());
            try (ResultSet row = statement.executeQuery()) {
                row.next();
                OffsetDateTime last = row.getObject(2, OffsetDateTime.class);
                return new Purged(row.getInt(1), last == null ? since : last.toInstant());
            }
        }
    }

    @Override
    public boolean readOnly(Connection connection) throws SQLException {
        return "on".equals(text(connection, READ_ONLY));
    }
}
