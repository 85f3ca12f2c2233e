package dev.eventbus.consumer.inbox;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.regex.Matcher.quoteReplacement;

import dev.eventbus.ErrorCode;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.inbox.InboxTransactions.Ending;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.SQLSyntaxErrorException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.regex.Pattern;

/** The inbox's tables: whether they are fit to decide anything, and creating them for demos. */
final class InboxTables {

    /** One statement per table; it reads every column and no row. */
    private static final List<String> READS_ALL_COLUMNS = List.of("""
            SELECT consumer_group, event_id, outcome, payload_hash, topic, partition_no, record_offset, decided_at
            FROM %seventbus_inbox WHERE 1 = 0
            """, """
            SELECT consumer_group, event_id, failures, starts, at
            FROM %seventbus_attempt WHERE 1 = 0
            """, """
            SELECT consumer_group, topic, key_bytes, state, reason, next_try, redrives, since
            FROM %seventbus_parked_key WHERE 1 = 0
            """, """
            SELECT ord, consumer_group, topic, key_bytes, event_id, partition_no, record_offset, value_bytes, headers,
                   record_time, attempts, reason, error, parked_at
            FROM %seventbus_parked_event WHERE 1 = 0
            """, """
            SELECT id, consumer_group, requested_by, note, selection, planned, done, failed, discarded, state, at
            FROM %seventbus_redrive WHERE 1 = 0
            """);

    private static final Pattern NAMES_A_TABLE = Pattern.compile("(CREATE TABLE|ON|REFERENCES) (eventbus_)");

    private static final Pattern COMMENT = Pattern.compile("--.*");

    private final InboxTransactions transactions;
    private final InboxSql sql;

    InboxTables(InboxTransactions transactions, InboxSql sql) {
        this.transactions = transactions;
        this.sql = sql;
    }

    /** Runs the script, if the inbox cannot be read yet. */
    void create() throws SQLException {
        if (problemsOfColumns().isEmpty()) {
            return;
        }
        String script = NAMES_A_TABLE.matcher(script()).replaceAll("$1 " + quoteReplacement(sql.schema()) + "$2");
        transactions.runOurs((connection, watch) -> {
            try (Statement statement = connection.createStatement()) {
                if (!sql.schema().isEmpty()) {
                    statement.execute(
                            "CREATE SCHEMA IF NOT EXISTS " + sql.schema().replace(".", ""));
                }
                for (String one : COMMENT.matcher(script).replaceAll("").split(";")) {
                    if (!one.isBlank()) {
                        statement.execute(one);
                    }
                }
            }
            return new Ending<>(script, true);
        });
    }

    /** @throws StartRefusedException with everything that was found */
    void verify() throws SQLException {
        List<String> problems = new ArrayList<>();
        if (transactions.runOurs((connection, watch) -> new Ending<>(sql.readOnly(connection), false))) {
            problems.add(
                    "its session is read-only, so no effect can be kept (P5); point the data source at the primary");
        } else {
            problems.addAll(problemsOfColumns());
            if (problems.isEmpty()) {
                problems.addAll(problemsOfKey());
            }
            problems.addAll(transactions.runOurs((connection, watch) -> new Ending<>(sql.unfit(connection), false)));
        }
        if (!problems.isEmpty()) {
            throw StartRefusedException.of(ErrorCode.INBOX_UNUSABLE, "Inbox", problems);
        }
    }

    private List<String> problemsOfColumns() throws SQLException {
        List<String> problems = new ArrayList<>();
        for (String read : READS_ALL_COLUMNS) {
            String query = read.formatted(sql.schema());
            try {
                transactions.runOurs((connection, watch) -> {
                    try (Statement reading = connection.createStatement()) {
                        return new Ending<>(reading.execute(query), false);
                    }
                });
            } catch (SQLException e) {
                problems.add(problem("a table or column is missing, or may not be read, in: " + query.strip(), e));
            }
        }
        return problems;
    }

    /** Tries what everything rests on, in a transaction that is rolled back: look-alikes are different ids, and one id is one. */
    private List<String> problemsOfKey() throws SQLException {
        try {
            return transactions.runOurs((connection, watch) -> new Ending<>(problemsOfKey(connection), false));
        } catch (SQLException e) {
            return List.of(problem(
                    "eventbus_inbox cannot be written, or has no primary key (consumer_group, event_id) (P5)", e));
        }
    }

    private List<String> problemsOfKey(Connection connection) throws SQLException {
        String id = UUID.randomUUID().toString();
        for (String different : List.of(id + "a", id + "A", id + "a ", id + "\u00e1")) {
            if (!(insert(connection, different) instanceof InboxSql.Insertion.Inserted)) {
                return List.of("eventbus_inbox takes different event ids for one and would lose events (P6); " + fix());
            }
        }
        return insert(connection, id + "a") instanceof InboxSql.Insertion.Taken
                ? List.of()
                : List.of("eventbus_inbox has no primary key (consumer_group, event_id) and would double effects (P5); "
                        + fix());
    }

    private InboxSql.Insertion insert(Connection connection, String eventId) throws SQLException {
        return sql.insert(
                connection,
                new Mark("inbox.verify", eventId, new byte[0], "none", 0, 0),
                Outcome.SKIPPED,
                InboxSql.MARK_LOCK_TIMEOUT_MILLIS);
    }

    /** @throws SQLException the same, if it says nothing about tables */
    private String problem(String what, SQLException e) throws SQLException {
        boolean aboutTables = e instanceof SQLSyntaxErrorException // H2, also for a schema
                || (e.getSQLState() != null
                        && e.getSQLState().startsWith("42")); // syntax error or access rule violation
        if (!aboutTables) {
            throw e;
        }
        return "%s (SQLSTATE %s); %s".formatted(what, e.getSQLState(), fix());
    }

    private String fix() {
        return "run %s from eventbus-consumer's jar, in the schema given to schema() or else the connection's own, and grant"
                        .formatted(sql.ddl().substring(1))
                + " SELECT, INSERT, UPDATE, DELETE";
    }

    private String script() {
        try (InputStream script = InboxTables.class.getResourceAsStream(sql.ddl())) {
            if (script == null) {
                throw new AssertionError(sql.ddl() + " is part of this jar");
            }
            return new String(script.readAllBytes(), UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
