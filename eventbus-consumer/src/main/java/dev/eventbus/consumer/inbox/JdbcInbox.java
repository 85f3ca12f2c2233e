package dev.eventbus.consumer.inbox;

import dev.eventbus.StartRefusedException;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.Objects;
import java.util.function.Function;
import java.util.regex.Pattern;
import javax.sql.DataSource;

/**
 * The inbox over JDBC: the one arbiter of how a group's dealing with an event ended. A row of {@code eventbus_inbox} is written
 * in the transaction that makes the outcome true, the first committed row wins, and whoever meets it obeys it.
 *
 * <pre>{@code
 * JdbcInbox inbox = JdbcInbox.postgres(dataSource).schema("ledger");
 * ConsumerRunner.builder(kafka, "ledger.asset.events")
 *     .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> ledger.book(tx.connection(), event.payload()))
 * }</pre>
 *
 * <p>Tables come from {@code META-INF/eventbus/inbox/<database>/V1__eventbus_inbox.sql} of this jar, by a migration tool; the
 * default schema is the connection's own. Transactions run at READ COMMITTED and, on PostgreSQL, commit durably whatever
 * {@code synchronous_commit} says. A mark held by another, uncommitted owner is waited for 250 ms at most.
 *
 * <p>Immutable and thread-safe. Each call takes one connection from the data source, and gives it back with auto-commit and
 * isolation as they were. {@link SQLException}s come out as the driver threw them, after the roll-back: then nothing of the call
 * is committed, except when the commit itself failed; that outcome is unknown until the call is made again.
 */
public final class JdbcInbox {

    /** Work that runs in the transaction that also holds the mark. */
    @FunctionalInterface
    public interface Work {
        /**
         * Runs once the mark is inserted.
         *
         * @param transaction is committed when this returns and rolled back when it throws. {@code close()} does nothing; commit,
         *     roll-back, auto-commit, isolation, read-only and {@code unwrap} to the driver's own are refused; on H2, DDL too. It
         *     is dead after the return.
         */
        void run(Connection transaction) throws Exception;
    }

    private static final Pattern SCHEMA_NAME = Pattern.compile("[A-Za-z_][A-Za-z0-9_$]{0,62}");

    // A row that stood in the way and was gone when it was read means that it was removed in between: rare, never twice
    // in a row.
    private static final int TRIES = 3;

    private final DataSource dataSource;
    private final Function<String, InboxSql> dialect;
    private final InboxSql sql;

    private JdbcInbox(DataSource dataSource, Function<String, InboxSql> dialect, String schema) {
        this.dataSource = dataSource;
        this.dialect = dialect;
        this.sql = dialect.apply(schema);
    }

    /** An inbox in PostgreSQL 13 or later. */
    public static JdbcInbox postgres(DataSource dataSource) {
        return new JdbcInbox(Objects.requireNonNull(dataSource), PostgresInboxSql::new, "");
    }

    /** An inbox in H2 2.x, for tests and demos. */
    public static JdbcInbox h2(DataSource dataSource) {
        return new JdbcInbox(Objects.requireNonNull(dataSource), H2InboxSql::new, "");
    }

    /**
     * This inbox with its tables in a named schema.
     *
     * @param name 1 to 63 of {@code A-Z a-z 0-9 _ $}, not beginning with a digit or {@code $}; it is quoted, hence case-sensitive
     * @throws IllegalArgumentException for any other name
     */
    public JdbcInbox schema(String name) {
        if (!SCHEMA_NAME.matcher(name).matches()) {
            throw new IllegalArgumentException(
                    "schema must be 1 to 63 of A-Z a-z 0-9 _ $, not beginning with a digit or $, was %d characters"
                            .formatted(name.length()));
        }
        return new JdbcInbox(dataSource, dialect, '"' + name + "\".");
    }

    /**
     * Creates the tables, and the schema if one was named, for demos and tests; services run the script by a migration tool. Does
     * nothing if they are there.
     */
    public void createTables() throws SQLException {
        new InboxTables(dataSource, sql).create();
    }

    /**
     * As {@link #createTables()}, in the default schema of whichever database this is.
     *
     * @throws StartRefusedException if it is neither PostgreSQL nor H2
     */
    public static void createTables(DataSource dataSource) throws SQLException {
        new InboxTables(dataSource, sqlOf(dataSource)).create();
    }

    /**
     * Checks that the tables and columns are there, that the session can write, and that ids are told apart as bytes. The runner
     * calls it before it starts. Nothing is left behind.
     *
     * @throws StartRefusedException with everything that is wrong and its fix
     */
    public void verify() {
        try {
            new InboxTables(dataSource, sql).verify();
        } catch (SQLException e) {
            throw new StartRefusedException(
                    "Inbox refused: its database did not answer (SQLSTATE %s). Nothing was started; check the data source."
                            .formatted(e.getSQLState()),
                    e);
        }
    }

    /**
     * Inserts the mark DONE first, then runs the work, and commits both or neither. What the work throws comes out unchanged
     * after the roll-back; a SQLException of the commit itself means that the outcome is unknown: run again, mark first.
     *
     * @throws HandlerTransactionException if the work ended the transaction in a way that could not be prevented
     */
    public MarkResult run(Mark mark, Work work) throws Exception {
        return decideFirst(mark, Outcome.DONE, connection -> runGuarded(work, connection));
    }

    /**
     * Decides DYING or SKIPPED in a transaction of its own.
     *
     * @throws IllegalArgumentException for another outcome: those are true only together with something else
     */
    public MarkResult decide(Mark mark, Outcome outcome) throws SQLException {
        if (outcome != Outcome.DYING && outcome != Outcome.SKIPPED) {
            throw new IllegalArgumentException("outcome must be DYING or SKIPPED, was " + outcome);
        }
        return decideFirst(mark, outcome, connection -> {});
    }

    /**
     * DYING becomes DEAD, after the broker has acknowledged the letter. Safe to repeat; changes nothing if the row is gone, has
     * another outcome, or belongs to another event of that id.
     */
    public void dead(Mark mark) throws SQLException {
        try (Connection connection = dataSource.getConnection();
                InboxTransaction transaction = InboxTransaction.begin(connection, sql)) {
            sql.dead(connection, mark);
            transaction.commit(); // not sealed: if a crash undoes it, the letter is sent once more
        }
    }

    /** What runs between the mark and its commit. */
    private interface Effect<X extends Exception> {
        void run(Connection connection) throws X;
    }

    private <X extends Exception> MarkResult decideFirst(Mark mark, Outcome outcome, Effect<X> effect)
            throws SQLException, X {
        for (int i = 0; i < TRIES; i++) {
            try (Connection connection = dataSource.getConnection();
                    InboxTransaction transaction = InboxTransaction.begin(connection, sql)) {
                InboxSql.Insertion insertion = sql.insert(connection, mark, outcome);
                if (insertion instanceof InboxSql.Insertion.Held) {
                    return new MarkResult.HeldElsewhere();
                }
                if (insertion instanceof InboxSql.Insertion.Inserted ours) {
                    effect.run(connection);
                    if (!ours.transactionId().equals(sql.seal(connection))) {
                        throw new HandlerTransactionException(mark);
                    }
                    transaction.commit();
                    return new MarkResult.Decided();
                }
                InboxSql.Decision known = sql.decision(connection, mark);
                if (known != null) {
                    return Arrays.equals(known.payloadHash(), mark.payloadHash())
                            ? new MarkResult.Known(known.outcome())
                            : new MarkResult.IdConflict();
                }
            }
        }
        return new MarkResult.HeldElsewhere();
    }

    private void runGuarded(Work work, Connection connection) throws Exception {
        GuardedConnection guarded = new GuardedConnection(connection, sql.ddlCommits());
        try {
            work.run(guarded.connection());
        } finally {
            guarded.end();
        }
    }

    private static InboxSql sqlOf(DataSource dataSource) throws SQLException {
        try (Connection connection = dataSource.getConnection()) {
            String database = connection.getMetaData().getDatabaseProductName();
            return switch (database) {
                case "PostgreSQL" -> new PostgresInboxSql("");
                case "H2" -> new H2InboxSql("");
                default ->
                    throw new StartRefusedException(
                            "No inbox for %s: PostgreSQL and H2 are supported".formatted(database));
            };
        }
    }
}
