package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.EventBusException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.OutboxRelay;
import io.github.resilience4j.retry.RetryConfig;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import javax.sql.DataSource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.postgresql.ds.PGSimpleDataSource;

/** The privileges that docs/operations.md names are enough, and each is needed. */
@ExtendWith(ServersExtension.class)
class PrivilegesIT {

    private static final Path DOCS = Path.of("../docs/operations.md");

    private final Scene scene;
    private final String unique;
    private final Set<String> poison = ConcurrentHashMap.newKeySet();

    PrivilegesIT(KafkaServer kafka, PostgresServer postgres) throws Exception {
        scene = Scene.create(kafka, postgres, "asset.events:2", "dlq.events:1");
        unique = postgres.uniqueName("role");
        for (String role : List.of("publisher", "relay", "consumer")) {
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
    private record Grant(String privilege, String on, String role) {

        @Override
        public String toString() {
            return "%s on %s for the %s".formatted(privilege, on, role);
        }
    }

    private static List<Grant> documented() throws Exception {
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

    private ConsumerRunner runner(JdbcInbox inbox, AfterRetries afterRetries) {
        return ConsumerRunner.builder(scene.kafka(), scene.group("ledger"))
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
                ConsumerRunner runner = runner(inbox, AfterRetries.parkKey(inbox, "dlq.events"))) {
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

    private List<String> effects() throws SQLException {
        return scene.strings("SELECT event FROM effect ORDER BY ord");
    }

    @Test
    void S_18_without_any_one_of_them_publishing_or_the_relays_start_is_refused_with_its_name() throws Exception {
        for (Grant grant : documented()) {
            if (!grant.role.equals("consumer")) {
                without(grant, () -> {
                    if (grant.role.equals("publisher")) {
                        assertThatThrownBy(() -> publish("never"))
                                .as("%s", grant)
                                .rootCause()
                                .hasMessageContaining("permission denied for table eventbus_outbox");
                    } else {
                        assertThat(troubleOfARelay())
                                .as("%s", grant)
                                .containsPattern("[Gg]rant |privilege")
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

    /**
     * A consumer looks at its tables' privileges only when it needs them. Without the one or the other it goes on as far as it comes, says so as
     * soon as it comes no further, and goes on from there.
     */
    @Test
    void S_18_without_any_one_of_a_consumers_it_says_so_or_needs_it_not_and_nothing_is_lost_or_doubled()
            throws Exception {
        JdbcInbox inbox = JdbcInbox.postgres(as("consumer"));
        String group = scene.group("ledger");
        List<String> expected = new ArrayList<>();
        int told = 0;
        for (Grant grant : documented()) {
            if (grant.role.equals("consumer")) {
                String round = "evt-" + expected.size();
                poison.add(round + "-b");
                boolean[] seen = {false};
                try (OutboxRelay relay = relay();
                        ConsumerRunner runner = runner(inbox, AfterRetries.parkKey(inbox, "dlq.events"))) {
                    relay.start();
                    runner.start();
                    without(grant, () -> {
                        publish(round + "-a", round + "-b", round + "-c");
                        Eventually.holds(
                                () -> {
                                    seen[0] = !runner.health().problems().isEmpty();
                                    return seen[0] || runner.health().parked().events() == 2;
                                },
                                () -> grant + ": " + runner.health());
                    });
                    Eventually.holds(
                            () -> runner.health().parked().events() == 2, () -> grant + ": " + runner.health());
                    poison.clear();
                    Redrive redrive = Redrive.ofParked(scene.kafka(), group, inbox);
                    without(
                            grant,
                            () -> seen[0] |= isRefused(() -> redrive.plan().run("tried without a privilege")));
                    redrive.plan().run("with all of them");
                    expected.addAll(List.of(round + "-a", round + "-b", round + "-c"));
                    Eventually.holds(() -> effects().equals(expected), () -> grant + ": " + runner.health() + expected);
                    Eventually.holds(() -> inbox.parking().load(group).isEmpty(), () -> grant + ": " + runner.health());
                }
                told += seen[0] ? 1 : 0;
            }
        }
        assertThat(expected).hasSize(3 * 20);
        assertThat(told).as("most are needed for this").isGreaterThan(8);
    }

    private static boolean isRefused(Runnable work) {
        try {
            work.run();
            return false;
        } catch (EventBusException e) {
            return true;
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
