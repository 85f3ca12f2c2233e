package dev.eventbus.faults;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.faults.wire.KafkaWire;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.faults.wire.PostgresWire;
import dev.eventbus.outbox.JdbcOutbox;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import javax.sql.DataSource;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.postgresql.ds.PGSimpleDataSource;

/**
 * PostgreSQL and three brokers, each behind a network that can be made bad: one network for each broker, which all clients use, one
 * for each that the other brokers use, and one to the database for each {@link Role}. Whoever judges goes to the database directly.
 */
final class Servers implements AutoCloseable {

    static final int BROKERS = 3;
    static final int PARTITIONS = 6;

    private static final long TOPICS_WITHIN_SECONDS = 60;

    /** With {@code group.protocol=consumer} the broker decides when a member is taken for dead; by default after 45 seconds. */
    private static final String SESSION_MILLIS = String.valueOf(ConsumerMain.SESSION.toMillis());

    private static final String HEARTBEAT_MILLIS = String.valueOf(ConsumerMain.HEARTBEAT.toMillis());

    /** After so long a leader does without who does not follow it, and writes nothing more if too few are left. */
    private static final String REPLICA_LAG_MILLIS = "4000";

    /** A network and what is spoken over it. */
    record Network<W>(LoopbackProxy proxy, W wire) {}

    private final EmbeddedPostgres postgres;
    private final EmbeddedKafka kafka;
    private final List<Network<KafkaWire>> toBrokers;
    private final List<LoopbackProxy> betweenBrokers;
    private final Map<Role, Network<PostgresWire>> toDatabase;

    private Servers(
            EmbeddedPostgres postgres,
            EmbeddedKafka kafka,
            List<Network<KafkaWire>> toBrokers,
            List<LoopbackProxy> betweenBrokers,
            Map<Role, Network<PostgresWire>> toDatabase) {
        this.postgres = postgres;
        this.kafka = kafka;
        this.toBrokers = toBrokers;
        this.betweenBrokers = betweenBrokers;
        this.toDatabase = toDatabase;
    }

    static Servers start() throws SQLException, ExecutionException, InterruptedException, TimeoutException {
        List<Network<KafkaWire>> toBrokers = new ArrayList<>();
        List<LoopbackProxy> betweenBrokers = new ArrayList<>();
        for (int i = 0; i < BROKERS; i++) {
            betweenBrokers.add(LoopbackProxy.open());
            KafkaWire wire = new KafkaWire();
            toBrokers.add(new Network<>(LoopbackProxy.open(wire), wire));
        }
        EmbeddedPostgres postgres =
                EmbeddedPostgres.builder().setting("max_wal_size", "2GB").start();
        EmbeddedKafka kafka = EmbeddedKafka.builder()
                .nodes(BROKERS)
                .property("broker.session.timeout.ms", "3000")
                .property("replica.lag.time.max.ms", REPLICA_LAG_MILLIS)
                .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
                .property("allow.everyone.if.no.acl.found", "true")
                .property("super.users", Clients.ADMIN.principal() + ";User:ANONYMOUS") // brokers have no name
                .saslUser(Clients.ADMIN.user(), Clients.ADMIN.password())
                .saslUser(Clients.APPLICATION.user(), Clients.APPLICATION.password())
                .property("group.consumer.min.session.timeout.ms", SESSION_MILLIS)
                .property("group.consumer.session.timeout.ms", SESSION_MILLIS)
                .property("group.consumer.min.heartbeat.interval.ms", HEARTBEAT_MILLIS)
                .property("group.consumer.heartbeat.interval.ms", HEARTBEAT_MILLIS)
                .advertisedPorts(toBrokers.stream()
                        .mapToInt(network -> network.proxy().port())
                        .toArray())
                .portsBetweenBrokers(
                        betweenBrokers.stream().mapToInt(LoopbackProxy::port).toArray())
                .start();
        for (int i = 0; i < BROKERS; i++) {
            toBrokers.get(i).proxy().forwardTo(kafka.address(i + 1));
            betweenBrokers.get(i).forwardTo(kafka.brokerAddress(i + 1));
        }
        Map<Role, Network<PostgresWire>> toDatabase = new EnumMap<>(Role.class);
        String address = postgres.jdbcUrl().replaceFirst("jdbc:postgresql://([^/]+)/.*", "$1");
        for (Role role : Role.values()) {
            PostgresWire wire = new PostgresWire();
            toDatabase.put(role, new Network<>(LoopbackProxy.open(wire).forwardTo(address), wire));
        }
        Servers servers = new Servers(postgres, kafka, toBrokers, betweenBrokers, toDatabase);
        servers.createTables();
        servers.createTopics();
        return servers;
    }

    private void createTables() throws SQLException {
        DataSource database = dataSource();
        JdbcOutbox.postgres().createTables(database);
        JdbcInbox.postgres(database).createTables();
        try (Connection connection = connect();
                Statement create = connection.createStatement();
                PreparedStatement fill = connection.prepareStatement(WorkloadSql.fillKeys())) {
            create.execute(WorkloadSql.createTables());
            fill.setInt(1, Keys.COUNT);
            fill.execute();
        }
    }

    private void createTopics() throws ExecutionException, InterruptedException, TimeoutException {
        try (Admin admin = admin()) {
            admin.createTopics(List.of(
                            new NewTopic(Change.TOPIC, PARTITIONS, (short) BROKERS),
                            new NewTopic(Change.LETTERS, 1, (short) BROKERS)))
                    .all()
                    .get(TOPICS_WITHIN_SECONDS, TimeUnit.SECONDS);
            admin.createAcls(List.of(
                            allowed(ResourceType.TOPIC, Change.TOPIC),
                            allowed(ResourceType.TOPIC, Change.LETTERS),
                            allowed(ResourceType.GROUP, ConsumerMain.GROUP)))
                    .all()
                    .get(TOPICS_WITHIN_SECONDS, TimeUnit.SECONDS);
        }
    }

    /** What has any rule has to allow what is to be allowed. */
    private static AclBinding allowed(ResourceType type, String name) {
        return acl(type, name, AclOperation.ALL, AclPermissionType.ALLOW);
    }

    /** A rule for the applications. */
    static AclBinding acl(ResourceType type, String name, AclOperation operation, AclPermissionType permission) {
        return new AclBinding(
                new ResourcePattern(type, name, PatternType.LITERAL),
                new AccessControlEntry(Clients.APPLICATION.principal(), "*", operation, permission));
    }

    /** As {@link #connect}. */
    DataSource dataSource() {
        PGSimpleDataSource database = new PGSimpleDataSource();
        database.setUrl(postgres.jdbcUrl());
        database.setUser(postgres.user());
        database.setPassword(postgres.password());
        return database;
    }

    /** Directly, past the bad networks. */
    Connection connect() throws SQLException {
        return DriverManager.getConnection(postgres.jdbcUrl(), postgres.user(), postgres.password());
    }

    Admin admin() {
        return Admin.create(new HashMap<>(Clients.ADMIN.settings(bootstrapServers())));
    }

    /** JDBC address, user and password for processes of a role. */
    List<String> database(Role role) {
        String url = "jdbc:postgresql://%s/postgres"
                .formatted(toDatabase(role).proxy().address());
        return List.of(url, postgres.user(), postgres.password());
    }

    String bootstrapServers() {
        return kafka.bootstrapServers();
    }

    EmbeddedPostgres postgres() {
        return postgres;
    }

    EmbeddedKafka kafka() {
        return kafka;
    }

    /** @param node from 1 */
    Network<KafkaWire> toBroker(int node) {
        return toBrokers.get(node - 1);
    }

    List<KafkaWire> wires() {
        return toBrokers.stream().map(Network::wire).toList();
    }

    /** The network to each broker that the others use. */
    List<LoopbackProxy> betweenBrokers() {
        return List.copyOf(betweenBrokers);
    }

    /** Networks to brokers that nobody has used: then what was done to them says nothing. */
    List<String> withoutTraffic() {
        List<String> unused = new ArrayList<>();
        for (int node = 1; node <= BROKERS; node++) {
            if (toBroker(node).wire().batches() == 0) {
                unused.add("broker " + node);
            }
            if (betweenBrokers.get(node - 1).accepted() == 0) {
                unused.add("broker " + node + " from the others");
            }
        }
        return unused;
    }

    Network<PostgresWire> toDatabase(Role role) {
        return Objects.requireNonNull(toDatabase.get(role));
    }

    /** Ends all that is wrong with the networks. */
    void healNetworks() {
        toBrokers.forEach(network -> {
            network.wire().forgetRules();
            network.proxy().heal();
        });
        betweenBrokers.forEach(LoopbackProxy::heal);
        toDatabase.values().forEach(network -> {
            network.wire().loseAnswerOfCommit(0);
            network.wire().loseCommit(0);
            network.proxy().heal();
        });
    }

    String describe() {
        return "PostgreSQL %s, Kafka %s (%d nodes, %d partitions), Java %s, %d processors"
                .formatted(
                        postgres.version(),
                        kafka.version(),
                        BROKERS,
                        PARTITIONS,
                        Runtime.version().feature(),
                        Runtime.getRuntime().availableProcessors());
    }

    @Override
    public void close() {
        kafka.close();
        postgres.close();
        toBrokers.forEach(network -> network.proxy().close());
        betweenBrokers.forEach(LoopbackProxy::close);
        toDatabase.values().forEach(network -> network.proxy().close());
    }
}
