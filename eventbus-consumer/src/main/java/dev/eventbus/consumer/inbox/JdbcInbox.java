package dev.eventbus.consumer.inbox;

import dev.eventbus.ErrorCode;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.inbox.InboxSql.Aged;
import dev.eventbus.consumer.inbox.InboxSql.Purged;
import dev.eventbus.consumer.inbox.InboxSql.Session;
import dev.eventbus.consumer.inbox.InboxTransactions.Ending;
import dev.eventbus.internal.Checks;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.BiFunction;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.regex.Pattern;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;

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
 * default schema is the connection's own. On a data source, transactions run at READ COMMITTED and each call takes one connection
 * and gives it back as it was: what a handler leaves in the session (settings, temporary tables, session locks) is cleared away, or
 * the session is ended. In {@link Transactions} of the user, isolation and session are the user's. On PostgreSQL a commit is durable
 * whatever {@code synchronous_commit} says. A mark held by another, uncommitted owner is waited for 250 ms at most, on MariaDB not
 * at all.
 *
 * <p>Thread-safe. {@link SQLException}s come out as the driver threw them, after the roll-back: then nothing of the call is
 * committed, except when the commit itself failed; that outcome is unknown until the call is made again.
 */
public final class JdbcInbox {

    /** Default: how long a handler's transaction may go without a statement. */
    public static final Duration DEFAULT_IDLE_LIMIT = Duration.ofSeconds(60);

    /** The least that marks are kept for. */
    public static final Duration LEAST_RETENTION = Duration.ofDays(14);

    /** Work that runs in the transaction that also holds the mark. */
    @FunctionalInterface
    public interface Work {
        /**
         * Runs once the mark is inserted.
         *
         * @param transaction is committed when this returns and rolled back when it throws. {@code close()} does nothing; commit,
         *     roll-back, auto-commit, isolation, read-only and {@code unwrap} to the driver's own are refused; on MariaDB and H2,
         *     DDL too. It is dead after the return.
         */
        void run(Connection transaction) throws Exception;
    }

    /** Which database, and where transactions on it come from. */
    private record Database(
            BiFunction<String, Session, InboxSql> dialect,
            boolean ours,
            AttemptStore.AloneTurn alone,
            Function<InboxSql, InboxTransactions> transactions) {

        static Database of(DataSource dataSource, BiFunction<String, Session, InboxSql> dialect) {
            Objects.requireNonNull(dataSource, "dataSource");
            return new Database(
                    dialect, true, new AttemptStore.AloneTurn(), sql -> InboxTransaction.of(dataSource, sql));
        }

        static Database of(Transactions transactions, BiFunction<String, Session, InboxSql> dialect) {
            Objects.requireNonNull(transactions, "transactions");
            return new Database(
                    dialect, false, new AttemptStore.AloneTurn(), sql -> new JoinedTransactions(transactions));
        }
    }

    private static final Pattern SCHEMA_NAME = Pattern.compile("[A-Za-z_][A-Za-z0-9_$]{0,62}");

    // A row that stood in the way and was gone when it was read was removed in between: rare, never twice in a row.
    private static final int TRIES = 3;

    private static final int MOST_BATCHED = 1_000;

    private final Database database;
    private final String schema;
    private final Duration idleLimit;
    private final @Nullable Duration retention;
    private final int batching;
    private final InboxSql sql;
    private final InboxTransactions transactions;
    private final AttemptStore attempts;
    private final FirstDecision first;
    private final ParkingStore parking;

    private JdbcInbox(
            Database database, String schema, Duration idleLimit, @Nullable Duration retention, int batching) {
        this.database = database;
        this.schema = schema;
        this.idleLimit = idleLimit;
        this.retention = retention;
        this.batching = batching;
        Session session = new Session(database.ours(), idleLimit);
        InboxSql plain = database.dialect().apply("", session);
        this.sql = schema.isEmpty() ? plain : database.dialect().apply(plain.quoted(schema) + ".", session);
        this.transactions = database.transactions().apply(sql);
        this.attempts = new AttemptStore(transactions, sql.attempts(), database.alone());
        this.first = new FirstDecision(sql);
        this.parking = new ParkingStore(transactions, sql, first);
    }

    private static JdbcInbox on(Database database) {
        return new JdbcInbox(database, "", DEFAULT_IDLE_LIMIT, null, 1);
    }

    /** An inbox in PostgreSQL 13 or later. */
    public static JdbcInbox postgres(DataSource dataSource) {
        return on(Database.of(dataSource, PostgresInboxSql::new));
    }

    /** An inbox in PostgreSQL 13 or later, in transactions of yours. */
    public static JdbcInbox postgres(Transactions transactions) {
        return on(Database.of(transactions, PostgresInboxSql::new));
    }

    /** An inbox in MariaDB 10.6 or later. */
    public static JdbcInbox mariaDb(DataSource dataSource) {
        return on(Database.of(dataSource, MariaDbInboxSql::new));
    }

    /** An inbox in MariaDB 10.6 or later, in transactions of yours. */
    public static JdbcInbox mariaDb(Transactions transactions) {
        return on(Database.of(transactions, MariaDbInboxSql::new));
    }

    /** An inbox in H2 2.3 or later, for tests and demos. */
    public static JdbcInbox h2(DataSource dataSource) {
        return on(Database.of(dataSource, (schema, session) -> new H2InboxSql(schema)));
    }

    /** An inbox in H2 2.3 or later, in transactions of yours. */
    public static JdbcInbox h2(Transactions transactions) {
        return on(Database.of(transactions, (schema, session) -> new H2InboxSql(schema)));
    }

    /**
     * This inbox with its tables in a named schema; on MariaDB, a database.
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
        return new JdbcInbox(database, name, idleLimit, retention, batching);
    }

    /**
     * How long a handler's transaction may go without a statement, 1 s to 1 day; default 60 s. Then the database ends its session, and
     * the event is tried again without using an attempt. A process that was stopped in the middle of a handler holds its marks, and
     * with them its keys, for so long. Not on H2, and on MariaDB only for an inbox on a data source. A shorter limit that the session
     * has already is left as it is.
     */
    public JdbcInbox idleLimit(Duration limit) {
        if (limit.compareTo(Duration.ofSeconds(1)) < 0 || limit.compareTo(Duration.ofDays(1)) > 0) {
            throw new IllegalArgumentException("idleLimit must be 1 s to 1 day, was %s".formatted(limit));
        }
        return new JdbcInbox(database, schema, limit, retention, batching);
    }

    /**
     * How long the marks of events that have ended are kept, at least 14 days. Default: as long as a repeat is possible, and that is
     * the retention of the topics plus that of the dead letters plus 7 days, for which a relay may be off. Say more if your relays'
     * {@code maxRelayStop} is longer.
     *
     * @throws IllegalArgumentException if it is less
     */
    public JdbcInbox retention(Duration keep) {
        if (keep.compareTo(LEAST_RETENTION) < 0) {
            throw new IllegalArgumentException(
                    "retention must be at least %s, was %s: a repeat that arrives after its mark is gone has its effect a second time (P5)"
                            .formatted(LEAST_RETENTION, keep));
        }
        return new JdbcInbox(database, schema, idleLimit, keep, batching);
    }

    /**
     * How many events may share one transaction, 1 to 1,000; default 1. For handlers that do little but write to the database: a commit
     * for each event is most of their cost. Nobody waits for a batch to fill. If anything of it fails, nothing is committed and
     * each of its events is run by itself, without having used an attempt. Handlers that write rows shared by several keys may
     * deadlock; the database ends one of them, and its events run one by one. Events of a batch share the session too: what a handler
     * sets there ({@code SET LOCAL}, temporary tables, session variables) the next ones find, so each must set what it needs itself.
     */
    public JdbcInbox batching(int events) {
        Checks.inRange("batching", events, 1, MOST_BATCHED);
        return new JdbcInbox(database, schema, idleLimit, retention, events);
    }

    /** As given. */
    public int batching() {
        return batching;
    }

    /** As given; null if it follows from what the topics keep. */
    @Nullable
    Duration retention() {
        return retention;
    }

    /**
     * Creates the tables, and the schema if one was named, for demos and tests; services run the script by a migration tool. Does
     * nothing if they are there.
     */
    public void createTables() throws SQLException {
        new InboxTables(transactions, sql).create();
    }

    /**
     * As {@link #createTables()}, in the default schema of whichever database this is.
     *
     * @throws StartRefusedException if it is none of PostgreSQL, MariaDB and H2
     */
    public static void createTables(DataSource dataSource) throws SQLException {
        on(dataSource).createTables();
    }

    /**
     * Checks that the tables and columns are there, that the session can write durably, and that ids are told apart as bytes. The
     * runner calls it before it starts. Nothing is left behind.
     *
     * @throws StartRefusedException with everything that is wrong and its fix
     */
    public void verify() {
        try {
            new InboxTables(transactions, sql).verify();
        } catch (SQLException e) {
            throw new StartRefusedException(
                    ErrorCode.INBOX_UNUSABLE,
                    "Inbox refused: its database did not answer (SQLSTATE %s). Nothing was started; check the data source."
                            .formatted(e.getSQLState()),
                    e);
        }
    }

    /**
     * Inserts the mark DONE first, then runs the work, and commits both or neither. What the work throws comes out unchanged
     * after the roll-back; a SQLException of the commit itself means that the outcome is unknown: run again, mark first.
     *
     * @throws HandlerTransactionException if the work committed the transaction; had it only been rolled back, that is a SQLException
     */
    public MarkResult run(Mark mark, Work work) throws Exception {
        for (int i = 0; i < TRIES; i++) {
            Optional<MarkResult> result = transactions.run((connection, watch) -> first.decide(
                    connection,
                    mark,
                    Outcome.DONE,
                    ours -> new GuardedConnection.Lent(connection, sql, ours, watch).to(work)));
            if (result.isPresent()) {
                return result.get();
            }
        }
        return new MarkResult.HeldElsewhere();
    }

    /**
     * As {@link #run} for many events in one transaction: their marks are inserted first, and what is known or held elsewhere is left
     * out, not waited for.
     *
     * @param marks of one group and of different events
     * @return what came of each mark, in their order; {@link MarkResult.Decided} means committed
     * @throws HandlerTransactionException if the work committed the transaction; had it only been rolled back, that is a SQLException
     */
    public List<MarkResult> runAll(List<Mark> marks, BatchWork work) throws Exception {
        return new BatchTransaction(transactions, sql, marks).run(work);
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
        for (int i = 0; i < TRIES; i++) {
            Optional<MarkResult> result =
                    transactions.runOurs((connection, watch) -> first.decide(connection, mark, outcome, ours -> {}));
            if (result.isPresent()) {
                return result.get();
            }
        }
        return new MarkResult.HeldElsewhere();
    }

    /**
     * DYING becomes DEAD, after the broker has acknowledged the letter. Safe to repeat; changes nothing if the row is gone, has
     * another outcome, or belongs to another event of that id.
     */
    public void dead(Mark mark) throws SQLException {
        transactions.runOurs((connection, watch) -> {
            sql.dead(connection, mark);
            return new Ending<>(mark, true); // not sealed: if a crash undoes it, the letter is sent once more
        });
    }

    /**
     * Forgets how a group ended its events and their attempts, so that they can be handled once more on purpose: close its runners, forget, set the
     * group's offsets back, start again. Events that are dying or parked are not ended and stay as they are, and so does a dead letter that a
     * redrive has handed over. Of other dead letters it is forgotten that they were one, or were discarded: an event that is read again has
     * its handler run, and its letter can be redriven until that has come about. Works in transactions of 1,000 rows; after a failure call
     * it again.
     *
     * @return how many events were forgotten
     */
    public long forget(String group) throws SQLException {
        Checks.notBlank("group", group);
        long forgotten = 0;
        long pass;
        do {
            pass = purge(new Aged(group, null, Duration.ZERO), () -> false);
            forgotten += pass;
        } while (pass > 0);
        attempts.purge(group, Duration.ZERO);
        return forgotten;
    }

    /** Deletes old marks, batch by batch; how many. One that is held by somebody else may stay. */
    long purge(Aged marks, BooleanSupplier stopping) throws SQLException {
        if (InboxSql.isForEver(marks.olderThan())) {
            return 0;
        }
        long purged = 0;
        Purged batch = new Purged(0, Instant.EPOCH);
        do {
            batch = purge(marks, batch.upTo());
            purged += batch.marks();
        } while (batch.marks() == InboxSql.PURGE_BATCH && !stopping.getAsBoolean());
        return purged;
    }

    /** Deletes one batch of those decided since then. */
    Purged purge(Aged marks, Instant since) throws SQLException {
        return transactions.runOurs((connection, watch) -> {
            Purged batch = sql.purge(connection, marks, since);
            return new Ending<>(batch, batch.marks() > 0);
        });
    }

    /** What is kept of events that have not ended. */
    public AttemptStore attempts() {
        return attempts;
    }

    /** Whether its transactions are the library's, of which only who is given their connection has a part. */
    public boolean hasOwnTransactions() {
        return database.ours();
    }

    /** Keys whose events wait to be handled later. */
    public ParkingStore parking() {
        return parking;
    }

    private static JdbcInbox on(DataSource dataSource) throws SQLException {
        try (Connection connection = dataSource.getConnection()) {
            String product = connection.getMetaData().getDatabaseProductName();
            return switch (product) {
                case "PostgreSQL" -> postgres(dataSource);
                case "MariaDB" -> mariaDb(dataSource);
                case "H2" -> h2(dataSource);
                default ->
                    throw new StartRefusedException(
                            ErrorCode.INBOX_UNUSABLE,
                            "No inbox for %s: PostgreSQL, MariaDB and H2 are supported".formatted(product),
                            null);
            };
        }
    }
}
