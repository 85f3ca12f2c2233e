package dev.eventbus.outbox.sql;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.ErrorCode;
import dev.eventbus.StartRefusedException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Creates the outbox's tables from the DDL in this jar, and checks that they are there. */
public final class OutboxSchema {

    /** Rows of {@code eventbus_key_lock}, numbered from 0. */
    static final int KEY_LOCKS = 4_096;

    private static final String LACKS = "user %s may not do what a relay does. Grant %s.";

    private static final Map<String, List<String>> COLUMNS = new LinkedHashMap<>();

    static {
        COLUMNS.put(
                TableNames.DEFAULT_EVENTS,
                List.of(
                        "shard",
                        "seq",
                        "id",
                        "aggregatetype",
                        "aggregateid",
                        "type",
                        "payload",
                        "headers",
                        "content_type",
                        "traceparent",
                        "tracestate",
                        "created_at"));
        COLUMNS.put("eventbus_meta", List.of("name", "value"));
        COLUMNS.put("eventbus_relay_member", List.of("owner", "lease_until"));
        COLUMNS.put("eventbus_relay_lease", List.of("shard", "owner", "epoch", "lease_until"));
        COLUMNS.put(
                "eventbus_blocked_key",
                List.of(
                        "aggregatetype",
                        "aggregateid",
                        "shard",
                        "seq",
                        "event_id",
                        "reason",
                        "error",
                        "sent_later",
                        "since"));
        COLUMNS.put("eventbus_key_lock", List.of("slot"));
    }

    private final OutboxSql sql;

    public OutboxSchema(OutboxSql sql) {
        this.sql = sql;
    }

    /** Creates what is missing, through a connection that is neither committed nor closed. */
    public void create(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            if (sql.names().schema() != null) {
                statement.execute(sql.admin().createSchema(sql.names().schema()));
            }
            for (String ddl : sql.names().in(script()).split(";\n")) {
                if (!ddl.isBlank()) {
                    statement.execute(ddl);
                }
            }
        }
    }

    /**
     * Checks what everybody needs who publishes: the tables and {@code INSERT} on that of the events. What is in {@code eventbus_meta} and
     * {@code eventbus_key_lock} is checked for a user who may read it.
     *
     * @throws StartRefusedException listing all that is missing, with the fix
     */
    public void verify(Connection connection) throws SQLException {
        verify(connection, false);
    }

    /**
     * Checks that Debezium is told of every event that is inserted from now on.
     *
     * @throws StartRefusedException listing all that is missing, with the fix
     */
    public void verifyForDebezium(Connection connection) throws SQLException {
        Optional<String> obstacles = sql.admin().obstaclesToDebezium();
        List<String> problems = obstacles.isEmpty() ? List.of() : strings(connection, obstacles.get());
        if (!problems.isEmpty()) {
            throw StartRefusedException.of(ErrorCode.OUTBOX_UNUSABLE, "Outbox", problems);
        }
    }

    /**
     * As {@link #verify}, and that the user may do all that a relay does.
     *
     * @throws StartRefusedException listing all that is missing, with the fix
     */
    public void verifyForRelay(Connection connection) throws SQLException {
        verify(connection, true);
    }

    /**
     * Checks that every shard has a lease. For a relay that begins: one that works goes on with those that are left, and its health tells
     * of the others.
     *
     * @throws StartRefusedException if one has none, with the fix
     */
    public void verifyLeases(Connection connection) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.leases());
                ResultSet rows = query.executeQuery()) {
            int shards = 0;
            while (rows.next()) {
                shards++;
            }
            if (shards != Shards.COUNT) {
                String problem =
                        "eventbus_relay_lease in schema '%s' has rows for %d shards, not %d: events of the others would wait for ever. Run the statement of %s that inserts them."
                                .formatted(place(connection).schema(), shards, Shards.COUNT, resource());
                throw StartRefusedException.of(ErrorCode.OUTBOX_UNUSABLE, "Outbox", List.of(problem));
            }
        }
    }

    private void verify(Connection connection, boolean forRelay) throws SQLException {
        Place place = place(connection);
        List<String> problems = new ArrayList<>();
        if (place.standby()) {
            problems.add("database %s is a standby that cannot be written to. Connect to the primary."
                    .formatted(place.database()));
        }
        Set<String> readable = checkTables(connection, place, forRelay, problems);
        if (problems.isEmpty()) {
            checkServer(connection, problems);
            if (forRelay) {
                checkPrivileges(connection, place, problems);
            }
        }
        if (problems.isEmpty()) {
            if (forRelay || readable.contains("eventbus_meta")) {
                checkShards(connection, place, problems);
            }
            if (forRelay || readable.contains("eventbus_key_lock")) {
                checkKeyLocks(connection, place, problems);
            }
            if (forRelay) {
                probePrivileges(connection, place, problems);
            }
        }
        if (problems.isEmpty() && forRelay) { // it may read all of them
            checkOwner(connection, place, problems);
        }
        if (!problems.isEmpty()) {
            throw StartRefusedException.of(ErrorCode.OUTBOX_UNUSABLE, "Outbox", problems);
        }
    }

    /** Returns those that this user may read. */
    private Set<String> checkTables(Connection connection, Place place, boolean forRelay, List<String> problems)
            throws SQLException {
        Set<String> readable = new HashSet<>();
        List<String> absent = new ArrayList<>();
        for (Map.Entry<String, List<String>> table : COLUMNS.entrySet()) {
            boolean events = table.getKey().equals(TableNames.DEFAULT_EVENTS);
            String name = events ? sql.names().events() : table.getKey();
            Columns found = columns(connection, name);
            if (found.readable()) {
                readable.add(name);
            }
            if (found.names().isEmpty()) {
                if (forRelay || events || !isHidden(connection, name)) {
                    absent.add(name);
                }
                continue;
            }
            List<String> missing = table.getValue().stream()
                    .filter(column -> !found.names().contains(column))
                    .toList();
            if (!missing.isEmpty()) {
                problems.add("table %s in schema '%s' lacks %s. Apply the newer scripts beside %s."
                        .formatted(name, place.schema(), missing, resource()));
            }
            if (events && !forRelay && !found.insertable()) {
                problems.add("user %s may not publish. Grant INSERT on %s.%s."
                        .formatted(place.user(), place.schema(), name));
            }
        }
        if (!absent.isEmpty()) {
            problems.add(
                    "not found in schema '%s' (user %s, database %s), or without a privilege for this user: %s. Apply %s from the jar of eventbus-outbox with your migration tool; a demo may call createTables(dataSource). If it is in another schema: .schema(\"...\")."
                            .formatted(place.schema(), place.user(), place.database(), absent, resource()));
        }
        return readable;
    }

    /** Whether a table of which no column is to be seen may be there all the same. */
    private boolean isHidden(Connection connection, String table) throws SQLException {
        Optional<String> look = sql.admin().look(table);
        if (look.isEmpty()) {
            return false;
        }
        try (PreparedStatement query = connection.prepareStatement(look.get())) {
            query.executeQuery().close();
            return true; // made a moment ago
        } catch (SQLException e) {
            if (DatabaseFault.isPrivilegeMissing(e)) {
                return true;
            }
            if (DatabaseFault.isTableMissing(e)) {
                return false;
            }
            throw e;
        }
    }

    private void checkShards(Connection connection, Place place, List<String> problems) throws SQLException {
        String shards = new OutboxStore(sql).meta(connection, "shards");
        if (!String.valueOf(Shards.COUNT).equals(shards)) {
            problems.add(
                    "eventbus_meta in schema '%s' says shards = %s, this library writes %d: events would wait in shards that nobody reads. Correct the row while the outbox is empty and every publisher is stopped."
                            .formatted(place.schema(), shards, Shards.COUNT));
        }
    }

    private void checkServer(Connection connection, List<String> problems) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.admin().server());
                ResultSet server = query.executeQuery()) {
            server.next();
            if (server.getBoolean(2)) {
                problems.add("the server is %s, which is too old. Upgrade it.".formatted(server.getString(1)));
            }
            long cache = server.getLong(3);
            if (cache != 1) {
                problems.add(
                        "the sequence of %s hands a session %d numbers at a time, so transactions that follow each other would not get ascending ones, and their events would change places. ALTER TABLE %s ALTER COLUMN seq SET CACHE 1."
                                .formatted(
                                        sql.names().events(), cache, sql.names().qualifiedEvents()));
            }
        }
        Optional<String> obstacles = sql.admin().obstacles();
        if (obstacles.isPresent()) {
            problems.addAll(strings(connection, obstacles.get()));
        }
    }

    private void checkPrivileges(Connection connection, Place place, List<String> problems) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.admin().missingPrivileges());
                ResultSet row = query.executeQuery()) {
            String missing = row.next() ? row.getString(1) : null;
            if (missing != null) {
                problems.add(LACKS.formatted(place.user(), missing));
            }
        }
    }

    private void probePrivileges(Connection connection, Place place, List<String> problems) throws SQLException {
        List<String> refused = new ArrayList<>();
        for (Map.Entry<String, String> probe : sql.admin().privilegeProbes().entrySet()) {
            try (PreparedStatement statement = connection.prepareStatement(probe.getValue())) {
                statement.executeUpdate();
            } catch (SQLException e) {
                if (!DatabaseFault.isPrivilegeMissing(e)) {
                    throw e;
                }
                refused.add(probe.getKey());
            }
        }
        if (!refused.isEmpty()) {
            problems.add(LACKS.formatted(place.user(), String.join(", ", refused)));
        }
    }

    private void checkKeyLocks(Connection connection, Place place, List<String> problems) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.admin().countKeyLocks());
                ResultSet row = query.executeQuery()) {
            row.next();
            if (row.getInt(1) != KEY_LOCKS) {
                problems.add(
                        "eventbus_key_lock in schema '%s' has %d rows, not %d: lockKeys() could not lock every key. Run the last statement of %s."
                                .formatted(place.schema(), row.getInt(1), KEY_LOCKS, resource()));
            }
        }
    }

    /** Relays of two event tables would share one set of leases, and each send half of its own events. */
    private void checkOwner(Connection connection, Place place, List<String> problems) throws SQLException {
        String events = sql.names().events();
        String known = new OutboxStore(sql).metaOnce(connection, "event_table", events);
        if (!events.equals(known)) {
            problems.add(
                    "the tables in schema '%s' belong to the outbox whose events are in %s, this one's are in %s: their relays would share the shards, and each would send a part of its events only. Give each outbox a schema of its own: .schema(\"...\"). If the table was renamed, set the row event_table of eventbus_meta to %s."
                            .formatted(place.schema(), known, events, events));
        }
    }

    private record Place(String user, String database, String schema, boolean standby) {}

    private Place place(Connection connection) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.admin().whereAmI());
                ResultSet row = query.executeQuery()) {
            row.next();
            String schema = sql.names().schema();
            return new Place(
                    row.getString(1),
                    row.getString(2),
                    schema == null ? String.valueOf(row.getString(3)) : schema,
                    row.getBoolean(4));
        }
    }

    private static List<String> strings(Connection connection, String sql) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql);
                ResultSet rows = query.executeQuery()) {
            List<String> strings = new ArrayList<>();
            while (rows.next()) {
                strings.add(rows.getString(1));
            }
            return strings;
        }
    }

    /** What of a table is to be seen: in which columns, whether all of it may be read, and whether any of it may be inserted. */
    private record Columns(Set<String> names, boolean readable, boolean insertable) {}

    private Columns columns(Connection connection, String table) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.admin().columns())) {
            query.setString(1, sql.names().schema());
            query.setString(2, table);
            Set<String> names = new HashSet<>();
            boolean readable = true;
            boolean insertable = false;
            try (ResultSet rows = query.executeQuery()) {
                while (rows.next()) {
                    names.add(rows.getString(1));
                    readable &= rows.getBoolean(2);
                    insertable |= rows.getBoolean(3);
                }
            }
            return new Columns(names, readable && !names.isEmpty(), insertable);
        }
    }

    private String resource() {
        return "META-INF/eventbus/outbox/%s/V1__eventbus_outbox.sql".formatted(sql.database());
    }

    private String script() {
        try (InputStream in = OutboxSchema.class.getClassLoader().getResourceAsStream(resource())) {
            if (in == null) {
                throw new IllegalStateException(
                        "the jar of eventbus-outbox is incomplete: %s is missing".formatted(resource()));
            }
            return new String(in.readAllBytes(), UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
