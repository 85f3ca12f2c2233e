package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.InboxPurge;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import io.github.resilience4j.retry.RetryConfig;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import javax.sql.DataSource;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.consumer.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.postgresql.ds.PGSimpleDataSource;

/** The privileges that docs/operations.md names are enough, and each is needed. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class PrivilegesIT {

    private static final Path DOCS = Path.of("../docs/operations.md");

    private final Scene scene;
    private final String unique;
    private final Set<String> poison = ConcurrentHashMap.newKeySet();

    PrivilegesIT(KafkaServer kafka, PostgresServer postgres) throws Exception {
        scene = Scene.create(kafka, postgres, "asset.events:2", "dlq.events:1");
        unique = postgres.uniqueName("role");
        for (String role : List.of("publisher", "relay", "consumer", "oncall", "adopter")) {
            scene.execute("CREATE ROLE %s LOGIN PASSWORD 'secret'".formatted(named(role)));
        }
        for (Grant grant : documented()) {
            scene.execute("GRANT %s ON %s TO %s".formatted(grant.privilege, grant.on, named(grant.role)));
        }
        scene.execute("CREATE TABLE effect (event varchar(128), ord bigint GENERATED ALWAYS AS IDENTITY)");
        scene.execute("GRANT INSERT ON effect TO %s".formatted(named("consumer")));
    }

    @AfterEach
    void close() throws Exception {
        scene.close();
    }

    /** One privilege on one table. */
    record Grant(String privilege, String on, String role) {

        @Override
        public String toString() {
            return "%s on %s for the %s".formatted(privilege, on, role);
        }
    }

    static List<Grant> documented() throws Exception {
        List<Grant> grants = new ArrayList<>();
        for (String line : Files.readAllLines(DOCS)) {
            if (line.startsWith("GRANT ") && line.endsWith(";")) {
                String[] parts =
                        line.substring("GRANT ".length(), line.length() - 1).split(" ON | TO ");
                boolean sequence = parts[1].startsWith("SEQUENCE ");
                for (String table : parts[1].replace("SEQUENCE ", "").split(", ")) {
                    Arrays.stream(parts[0].split(", "))
                            .map(privilege -> new Grant(privilege, (sequence ? "SEQUENCE " : "") + table, parts[2]))
                            .forEach(grants::add);
                }
            }
        }
        assertThat(grants).hasSizeGreaterThan(20);
        return grants;
    }

    private String named(String role) {
        return unique + "_" + role;
    }

    private DataSource as(String role) {
        PGSimpleDataSource restricted = new PGSimpleDataSource();
        restricted.setUrl(scene.database().getJdbcUrl());
        restricted.setUser(named(role));
        restricted.setPassword("secret");
        return restricted;
    }

    private void publish(String... ids) throws SQLException {
        try (Connection connection = as("publisher").getConnection()) {
            connection.setAutoCommit(false);
            scene.outbox().within(connection).lockKeys("bob");
            for (String id : ids) {
                scene.outbox()
                        .within(connection)
                        .publish(Event.of(ASSET_UPDATED, id, Instant.EPOCH, AssetUpdated.amount("bob", 1)));
            }
            connection.commit();
        }
    }

    private OutboxRelay relay() {
        return OutboxRelay.builder(scene.outbox(), as("relay"), scene.kafka()).build();
    }

    private ConsumerRunner runner(String group, JdbcInbox inbox, AfterRetries afterRetries) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    if (poison.contains(event.id())) {
                        throw new IllegalStateException();
                    }
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO effect (event) VALUES (?)")) {
                        insert.setString(1, event.id());
                        insert.executeUpdate();
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> 10L)
                        .build())
                .afterRetries(afterRetries)
                .build();
    }

    @Test
    void S_18_what_is_documented_is_enough_from_the_publisher_to_a_parked_key_that_goes_on() throws Exception {
        JdbcInbox inbox = JdbcInbox.postgres(as("consumer"));
        poison.add("evt-2");
        publish("evt-1", "evt-2", "evt-3");
        try (OutboxRelay relay = relay();
                ConsumerRunner runner =
                        runner(scene.group("ledger"), inbox, AfterRetries.parkKey(inbox, "dlq.events"))) {
            relay.start();
            runner.start();
            Eventually.holds(() -> runner.health().parked().events() == 2, runner::health);
            poison.clear();
            var key = inbox.parking().load(scene.group("ledger")).get(0);
            inbox.parking().redrive(scene.group("ledger"), key.topic(), key.key());
            publish("evt-4");
            Eventually.holds(() -> effects().size() == 4, runner::health);
            assertThat(effects()).containsExactly("evt-1", "evt-2", "evt-3", "evt-4");
            assertThat(scene.records("dlq.events")).hasSize(1);
            Eventually.holds(() -> scene.count("SELECT count(*) FROM eventbus_outbox") == 0, relay::health);
        }
    }

    @Test
    void S_18_a_publisher_verifies_its_outbox_with_no_more_than_it_publishes_with() throws Exception {
        try (Connection publisher = as("publisher").getConnection()) {
            scene.outbox().verify(publisher);
            scene.execute("ALTER TABLE eventbus_outbox ALTER COLUMN seq SET CACHE 20");
            assertThatThrownBy(() -> scene.outbox().verify(publisher))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("SET CACHE 1");
        }
    }

    @Test
    void S_18_who_may_only_read_the_events_is_no_publisher_and_is_told_what_to_grant() throws Exception {
        scene.execute("GRANT SELECT ON eventbus_outbox TO " + named("publisher"));
        scene.execute("REVOKE INSERT ON eventbus_outbox FROM " + named("publisher"));
        for (String role : List.of("publisher", "oncall")) {
            try (Connection connection = as(role).getConnection()) {
                assertThatThrownBy(() -> scene.outbox().verify(connection))
                        .as(role)
                        .isInstanceOf(StartRefusedException.class)
                        .hasMessageContaining("Grant INSERT on public.eventbus_outbox.");
            }
        }
    }

    @Test
    void S_18_a_publisher_that_adopts_partitions_too_verifies_its_outbox_and_the_number_of_its_shards()
            throws Exception {
        for (Grant grant : documented()) {
            if (grant.role.equals("adopter")) {
                scene.execute("GRANT %s ON %s TO %s".formatted(grant.privilege, grant.on, named("publisher")));
            }
        }
        try (Connection publisher = as("publisher").getConnection()) {
            scene.outbox().verify(publisher);
            scene.execute("UPDATE eventbus_meta SET value = '64' WHERE name = 'shards'");
            assertThatThrownBy(() -> scene.outbox().verify(publisher))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("shards = 64");
        }
    }

    @Test
    void S_18_a_table_that_is_not_there_is_missed_by_a_publisher_who_may_not_look_at_it() throws Exception {
        scene.execute("DROP TABLE eventbus_meta");
        try (Connection publisher = as("publisher").getConnection()) {
            assertThatThrownBy(() -> scene.outbox().verify(publisher))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("[eventbus_meta]");
        }
    }

    private List<String> effects() throws SQLException {
        return scene.strings("SELECT event FROM effect ORDER BY ord");
    }

    @Test
    void S_18_without_any_one_of_them_publishing_or_the_relays_start_is_refused_with_its_name() throws Exception {
        for (Grant grant : documented()) {
            if (grant.role.equals("publisher") || grant.role.equals("relay")) {
                without(grant, () -> {
                    if (grant.role.equals("publisher")) {
                        assertThatThrownBy(() -> publish("never"))
                                .as("%s", grant)
                                .rootCause()
                                .hasMessageContaining("permission denied for table eventbus_outbox");
                    } else {
                        assertThat(troubleOfARelay())
                                .as("%s", grant)
                                .containsPattern("Grant |without a privilege")
                                .contains(grant.on.replace("SEQUENCE ", ""));
                    }
                });
            }
        }
        publish("evt-1");
        try (OutboxRelay relay = relay()) {
            assertThat(relay.runOnce()).isEqualTo(1);
        }
    }

    @Test
    void S_18_a_consumer_needs_all_of_them_to_handle_to_park_to_drain_to_redrive_and_to_purge_and_no_other()
            throws Exception {
        publish("evt-1", "evt-2", "evt-3");
        relayAll();
        assertThat(deniedIn("with-all")).isEmpty();
        int needed = 0;
        for (Grant grant : documented()) {
            if (grant.role.equals("consumer")) {
                int number = needed++;
                without(
                        grant,
                        () -> assertThat(deniedIn("without-" + number))
                                .as("%s", grant)
                                .isNotEmpty()
                                .allMatch(said -> said.endsWith("permission denied for table " + grant.on)));
            }
        }
        assertThat(needed).isEqualTo(19);
    }

    private void relayAll() {
        try (OutboxRelay relay = relay()) {
            Eventually.holds(
                    () -> relay.runOnce() >= 0 && scene.count("SELECT count(*) FROM eventbus_outbox") == 0,
                    relay::health);
        }
    }

    @Test
    void S_18_who_adopts_partitions_needs_all_of_them_and_no_other() throws Exception {
        publish("evt-1");
        relayAll();
        String topic = scene.kafka().physicalTopic("asset.events");
        try (Admin admin = scene.kafka().admin();
                Consumer<byte[], byte[]> client = scene.kafka().consumer(Map.of())) {
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4)))
                    .all()
                    .get();
            Eventually.holds(() -> client.partitionsFor(topic).size() == 4, () -> client.partitionsFor(topic));
        }
        OutboxAdmin adopter = OutboxAdmin.of(scene.outbox(), as("adopter"));
        Callable<Integer> adoption =
                () -> adopter.adoptPartitions(scene.kafka(), "asset.events", Duration.ofSeconds(30));
        int needed = 0;
        for (Grant grant : documented()) {
            if (grant.role.equals("adopter")) {
                needed++;
                without(
                        grant,
                        () -> assertThatThrownBy(adoption::call)
                                .as("%s", grant)
                                .hasMessageEndingWith("permission denied for table " + grant.on));
            }
        }
        assertThat(needed).isEqualTo(5);
        assertThat(adoption.call()).isEqualTo(4);
    }

    @Test
    void S_18_who_is_on_call_needs_all_of_them_to_look_to_unblock_and_to_discard_and_no_other() throws Exception {
        OutboxAdmin onCall = OutboxAdmin.of(scene.outbox(), as("oncall"));
        int needed = 0;
        for (Grant grant : documented()) {
            if (grant.role.equals("oncall")) {
                needed++;
                without(
                        grant,
                        () -> assertThatThrownBy(() -> lookUnblockAndDiscard(onCall))
                                .as("%s", grant)
                                .hasMessageEndingWith("permission denied for table " + grant.on));
            }
        }
        assertThat(needed).isEqualTo(8);
        lookUnblockAndDiscard(onCall);
        assertThat(scene.strings("SELECT id FROM eventbus_outbox")).containsExactly("evt-1");
    }

    private void lookUnblockAndDiscard(OutboxAdmin onCall) throws SQLException {
        scene.execute("TRUNCATE eventbus_outbox, eventbus_blocked_key");
        publish("evt-1", "evt-2");
        blockBehindTheFirst();
        onCall.stats();
        assertThat(onCall.blocked()).hasSize(1);
        assertThat(onCall.unblock("asset.events", "bob")).isTrue();
        blockBehindTheFirst();
        onCall.discard("evt-2", "nobody needs it");
    }

    /** As a relay does that has sent the first event and is refused the second. */
    private void blockBehindTheFirst() throws SQLException {
        scene.execute("""
                INSERT INTO eventbus_blocked_key (aggregatetype, aggregateid, shard, seq, event_id, reason, since)
                SELECT aggregatetype, aggregateid, shard, seq, id, 'REFUSED', clock_timestamp()
                FROM eventbus_outbox WHERE id = 'evt-2'
                ON CONFLICT (aggregatetype, aggregateid) DO UPDATE SET reason = 'REFUSED', seq = excluded.seq, event_id = excluded.event_id
                """);
    }

    /**
     * Lets a group do all that one may do with three events, of which the second fails until it has been parked and redriven once.
     *
     * @return what the database has denied; after the first of it the group need not come to its end
     */
    private Collection<String> deniedIn(String name) throws Exception {
        Denials denials = new Denials();
        JdbcInbox inbox = JdbcInbox.postgres(denials.of(as("consumer")));
        String group = scene.group(name);
        poison.add("evt-2");
        Collection<String> heard = denials.heard();
        try (ConsumerRunner runner = runner(group, inbox, AfterRetries.parkKey(inbox, "dlq.events"))) {
            runner.start();
            Eventually.holds(() -> !heard.isEmpty() || isParked(runner, group, 0), runner::health);
            redrive(heard, group, inbox);
            Eventually.holds(() -> !heard.isEmpty() || isParked(runner, group, 1), runner::health);
            poison.clear();
            redrive(heard, group, inbox);
            Eventually.holds(
                    () -> !heard.isEmpty()
                            || runner.health().parked().keys() == 0 && scene.committed(group, "asset.events") == 3,
                    runner::health);
            new InboxPurge(inbox, scene.kafka(), new InboxPurge.Reads(group, Set.of("asset.events"), "dlq.events"))
                    .runOnce();
        } catch (StartRefusedException | SQLException refused) { // what was denied says why
            assertThat(heard).as("%s", refused).isNotEmpty();
        }
        return heard;
    }

    /** Of this group only: others, which were stopped by what they lacked, have left theirs. */
    private boolean isParked(ConsumerRunner runner, String group, int redrives) throws SQLException {
        return runner.health().parked().events() == 2 && scene.count("""
                        SELECT count(*) FROM eventbus_parked_key
                        WHERE consumer_group = '%s' AND state = 'PARKED' AND redrives = %d
                        """.formatted(group, redrives)) == 1;
    }

    private void redrive(Collection<String> heard, String group, JdbcInbox inbox) {
        if (heard.isEmpty()) {
            Redrive.ofParked(scene.kafka(), group, inbox).plan().run("mended");
        }
    }

    /** What a relay says that cannot do its work: it refuses to start, or the database refuses a statement of its start. */
    private String troubleOfARelay() {
        try (OutboxRelay relay = relay()) {
            relay.runOnce();
            return String.join(" ", relay.health().problems());
        } catch (StartRefusedException e) {
            return e.getMessage();
        }
    }

    private interface Step {
        void run() throws Exception;
    }

    private void without(Grant grant, Step step) throws Exception {
        scene.execute("REVOKE %s ON %s FROM %s".formatted(grant.privilege, grant.on, named(grant.role)));
        try {
            step.run();
        } finally {
            scene.execute("GRANT %s ON %s TO %s".formatted(grant.privilege, grant.on, named(grant.role)));
        }
    }
}
