package dev.eventbus.outbox;

import com.fasterxml.uuid.Generators;
import com.fasterxml.uuid.NoArgGenerator;
import com.fasterxml.uuid.UUIDClock;
import dev.eventbus.EncodedEvent;
import dev.eventbus.ErrorCode;
import dev.eventbus.Event;
import dev.eventbus.EventEncoder;
import dev.eventbus.EventLimits;
import dev.eventbus.EventPublisher;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.internal.Checks;
import dev.eventbus.internal.SizeLimits;
import dev.eventbus.outbox.internal.DebeziumConnector;
import dev.eventbus.outbox.internal.DebeziumInsert;
import dev.eventbus.outbox.sql.H2OutboxSql;
import dev.eventbus.outbox.sql.MariaDbOutboxSql;
import dev.eventbus.outbox.sql.OutboxSchema;
import dev.eventbus.outbox.sql.OutboxSql;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.PostgresOutboxSql;
import dev.eventbus.outbox.sql.TableNames;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import javax.sql.DataSource;

/**
 * The outbox in a relational database. One object is given to both ends: the code that publishes and the relay.
 *
 * <pre>{@code
 * JdbcOutbox outbox = JdbcOutbox.postgres();
 * outbox.within(connection).publish(ASSET_UPDATED, new AssetUpdated(userId, ITEM_ADDED, amount));
 * OutboxRelay relay = OutboxRelay.builder(outbox, dataSource, kafka).build();
 * }</pre>
 *
 * <p>Defaults: tables in the session's own schema, event table {@code eventbus_outbox}, events of at most 1,000,000 bytes, the
 * system's clock. Each method that changes one of them returns another outbox, which shares nothing with this one.
 *
 * <p>Thread-safe, and so are the publishers of {@link #joining}, if their connection source is. A publisher of {@link #within}
 * belongs to one connection and one thread at a time.
 *
 * <p>A publisher throws {@link PublishRefusedException} before any SQL for a connection in auto-commit mode or closed, for an event
 * that breaks a rule of the envelope or is too large; also, with nothing written, if the session commits asynchronously or could cut values. It throws
 * {@link dev.eventbus.PublishFailedException} if the database refuses the row. It never commits, rolls back or closes a connection
 * and buffers nothing: a savepoint that is rolled back takes its events along.
 */
public final class JdbcOutbox implements Outbox {

    /**
     * What is known of topics before anybody is asked, most of all how large an event may be.
     *
     * @param compacted topics that are declared as compacted
     */
    private record TopicLimits(SizeLimits sizes, Set<String> compacted) {

        static final TopicLimits DEFAULT =
                new TopicLimits(new SizeLimits(EventLimits.MAX_EVENT_BYTES, Map.of()), Set.of());

        TopicLimits withMaxEventBytes(int bytes) {
            return new TopicLimits(sizes.withMaxEventBytes(bytes), compacted);
        }

        TopicLimits withTopics(TopicSpec... specs) {
            SizeLimits limits = sizes;
            Set<String> compactedToo = new TreeSet<>(compacted);
            for (TopicSpec spec : specs) {
                if (spec.maxMessageBytes().isPresent()) {
                    limits =
                            limits.withTopic(spec.name(), spec.maxMessageBytes().getAsInt());
                }
                spec.compactionLag().ifPresent(lag -> compactedToo.add(spec.name()));
            }
            return new TopicLimits(limits, Collections.unmodifiableSet(compactedToo));
        }

        /** @throws PublishRefusedException if the event is over a limit */
        void check(EncodedEvent event) {
            SizeLimits.Excess excess = sizes.excess(event.topic(), event.sizeInBytes(), event.overheadInBytes());
            if (excess != null) {
                throw new PublishRefusedException(
                        ErrorCode.EVENT_TOO_LARGE,
                        event.type(),
                        "%s was not published: it has %,d bytes, %s. Nothing was written to the outbox; put a reference into the event, or %s."
                                .formatted(event, event.sizeInBytes(), excess.limit(), excess.fix()));
            }
        }
    }

    private final Function<TableNames, OutboxSql> database;
    private final TableNames names;
    private final TopicLimits limits;
    private final InstantSource clock;
    private final boolean byDebezium;

    private final EventEncoder encoder = new EventEncoder();
    private final NoArgGenerator ids;
    private final OutboxStore store;
    private final RelayPace.WakeUp wakeUp = new RelayPace.WakeUp();

    private JdbcOutbox(
            Function<TableNames, OutboxSql> database,
            TableNames names,
            TopicLimits limits,
            InstantSource clock,
            boolean byDebezium) {
        this.database = database;
        this.names = names;
        this.limits = limits;
        this.clock = clock;
        this.byDebezium = byDebezium;
        this.ids = Generators.timeBasedEpochGenerator(null, new UUIDClock() {
            @Override
            public long currentTimeMillis() {
                return clock.millis();
            }
        });
        this.store = new OutboxStore(database.apply(names));
    }

    /** An outbox on PostgreSQL 13 or later. */
    public static JdbcOutbox postgres() {
        return on(PostgresOutboxSql::new);
    }

    /** An outbox on H2 2.2 or later, in any of its modes: for tests and demos. */
    public static JdbcOutbox h2() {
        return on(H2OutboxSql::new);
    }

    /** An outbox on MariaDB 10.6 or later. A schema is what MariaDB calls a database. */
    public static JdbcOutbox mariaDb() {
        return on(MariaDbOutboxSql::new);
    }

    /**
     * An outbox on MySQL 8: tables and statements are those of {@link #mariaDb()}, written in what both understand. Its contract
     * test has not been run by us: run it before you rely on this.
     */
    public static JdbcOutbox mySql() {
        return on(MariaDbOutboxSql::new);
    }

    private static JdbcOutbox on(Function<TableNames, OutboxSql> database) {
        return new JdbcOutbox(database, TableNames.defaults(), TopicLimits.DEFAULT, InstantSource.system(), false);
    }

    /**
     * This outbox with its tables in a schema. Default: the session's own.
     *
     * @throws IllegalArgumentException if it is not 1 to 63 letters, digits and underscores, or begins with a digit
     */
    public JdbcOutbox schema(String schema) {
        return new JdbcOutbox(database, new TableNames(schema, names.events()), limits, clock, byDebezium);
    }

    /**
     * This outbox with another name for its event table; the other tables keep theirs. Default {@code eventbus_outbox}.
     *
     * @throws IllegalArgumentException if it is not 1 to 63 letters, digits and underscores, or begins with a digit
     */
    public JdbcOutbox table(String events) {
        return new JdbcOutbox(database, new TableNames(names.schema(), events), limits, clock, byDebezium);
    }

    /**
     * This outbox with another limit for an event: value, key and headers together, in bytes. Default 1,000,000. Larger needs a
     * larger {@code max.message.bytes} of the topic too. Whatever it is, a value over {@link EventLimits#MAX_READ_BYTES 1 MiB} is
     * refused, and so is JSON with a text of more than 256 Ki characters, since no consumer reads them.
     *
     * @throws IllegalArgumentException if it is below 1
     */
    public JdbcOutbox maxEventBytes(int bytes) {
        return new JdbcOutbox(
                database,
                names,
                limits.withMaxEventBytes(Checks.atLeast("maxEventBytes", bytes, 1)),
                clock,
                byDebezium);
    }

    /**
     * This outbox with the topics whose {@code maxMessageBytes} may be smaller than {@link #maxEventBytes(int)}, or which are compacted
     * and need a relay in mode {@link SendMode#STRICT}. Default none.
     */
    public JdbcOutbox topics(TopicSpec... specs) {
        return new JdbcOutbox(database, names, limits.withTopics(specs), clock, byDebezium);
    }

    /** This outbox with another clock, for event ids and time stamps of events. Default the system's. */
    public JdbcOutbox clock(InstantSource clock) {
        return new JdbcOutbox(database, names, limits, clock, byDebezium);
    }

    /**
     * This outbox as Debezium reads it, from the database's log instead of the table: each row is deleted in the transaction that
     * inserts it. What is published while no replication slot of a connector is there is lost, so the connector comes first. Events
     * with headers of yours are refused, since a connector cannot send them. No relay takes such an outbox. Default off.
     *
     * @throws StartRefusedException if the database is not PostgreSQL
     * @see #debeziumConnector
     */
    public JdbcOutbox relayedByDebezium() {
        if (!store.sql().database().equals("postgresql")) {
            throw StartRefusedException.of(
                    ErrorCode.RELAY_CONTRADICTS_ITSELF,
                    "Debezium connector",
                    List.of("for %s none is known here that sends what a relay sends. Use a relay."
                            .formatted(store.sql().database())));
        }
        return new JdbcOutbox(database, names, limits, clock, true);
    }

    /**
     * The configuration of a connector that sends the events of this outbox: for Kafka Connect's {@code POST /connectors}, as JSON. It
     * holds no address and no password, but names of environment variables of the worker, as {@code <NAME>_DATABASE_PASSWORD}.
     *
     * @param kafka the cluster that the worker writes to, for the topics' prefix; nothing is opened
     * @param name of the connector, of its replication slot and of its publication: 1 to 63 of {@code a-z 0-9 _}
     * @throws StartRefusedException listing all that a connector cannot do as a relay does: without {@link #schema}, with compacted
     *     {@link #topics}, with names of topics that are no prefix and the name; and if {@link #relayedByDebezium()} was not said
     */
    public String debeziumConnector(KafkaCluster kafka, String name) {
        if (!byDebezium) {
            throw StartRefusedException.of(
                    ErrorCode.RELAY_CONTRADICTS_ITSELF,
                    "Debezium connector",
                    List.of(
                            "this outbox leaves its rows to a relay, and a connector deletes none: each would stay for ever. Publish to outbox.relayedByDebezium(), and ask that one."));
        }
        int requestSize = FailStopProducer.maxRequestSize(maxEventBytes());
        return DebeziumConnector.of(names, compactedTopics(), kafka, name, requestSize)
                .json();
    }

    @Override
    public EventPublisher within(Connection connection) {
        return new JdbcEventPublisher(this, work -> work.accept(connection));
    }

    /**
     * {@inheritDoc}
     *
     * @throws PublishRefusedException from {@code publish}, if the source lends no connection or runs the work more than once
     */
    @Override
    public EventPublisher joining(ConnectionSource connections) {
        return new JdbcEventPublisher(this, connections);
    }

    @Override
    public void committed() {
        wakeUp.committed();
    }

    /**
     * Creates the tables that are missing: for demos and tests. A service lets its migration tool run
     * {@code META-INF/eventbus/outbox/<database>/V1__eventbus_outbox.sql}, which this runs too.
     */
    public void createTables(DataSource dataSource) throws SQLException {
        try (Connection connection = dataSource.getConnection()) {
            createTables(connection);
            if (!connection.getAutoCommit()) {
                connection.commit();
            }
        }
    }

    /** As {@link #createTables(DataSource)}, through a connection that is neither committed nor closed. */
    public void createTables(Connection connection) throws SQLException {
        new OutboxSchema(store.sql()).create(connection);
    }

    /**
     * Checks that every table and column is there, that this user may insert events, and that the outbox has as many shards as this
     * library and all locks of keys; of one {@link #relayedByDebezium()} also that its events are published to a replication slot, be it
     * this connector's or another's. It passes with the privileges that a publisher needs: shards and locks are looked at if this user may
     * read {@code eventbus_meta} and {@code eventbus_key_lock}, and on MariaDB and MySQL a table but that of the events is missed only by
     * a user who may read it. On H2 no privilege is asked for.
     *
     * @throws dev.eventbus.StartRefusedException listing all that is missing, with the fix
     */
    public void verify(Connection connection) throws SQLException {
        OutboxSchema schema = new OutboxSchema(store.sql());
        schema.verify(connection);
        if (byDebezium) {
            schema.verifyForDebezium(connection);
        }
    }

    String newId() {
        return ids.generate().toString();
    }

    Instant now() {
        return clock.instant();
    }

    /** Encodes an event and refuses it if it is too large. */
    EncodedEvent encode(Event<?> event) {
        EncodedEvent encoded = encoder.encode(event);
        limits.check(encoded);
        if (byDebezium && !encoded.headers().isEmpty()) {
            throw new PublishRefusedException(
                    ErrorCode.HEADERS_NOT_CARRIED,
                    event.type().name(),
                    "%s was not published: it has %d headers of yours, and Debezium, which relays this outbox, would send it without them. Nothing was written; put what they say into the payload, or use a relay."
                            .formatted(encoded, encoded.headers().size()));
        }
        return encoded;
    }

    /** Writes events. Returns false, with nothing left, if the session cannot keep the promise. */
    boolean insert(Connection connection, List<EncodedEvent> events) throws SQLException {
        return byDebezium
                ? new DebeziumInsert(store.sql()).insert(connection, events)
                : store.insert(connection, events);
    }

    boolean isRelayedByDebezium() {
        return byDebezium;
    }

    void published() {
        wakeUp.published();
    }

    RelayPace.WakeUp wakeUp() {
        return wakeUp;
    }

    InstantSource clock() {
        return clock;
    }

    OutboxStore store() {
        return store;
    }

    TableNames names() {
        return names;
    }

    Set<String> compactedTopics() {
        return limits.compacted();
    }

    int maxEventBytes() {
        return limits.sizes().maxEventBytes();
    }
}
