package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.zaxxer.hikari.HikariConfig;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.embedded.EmbeddedMariaDb;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.PrivilegesIT.Grant;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import javax.sql.DataSource;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.mariadb.jdbc.MariaDbDataSource;

/** The privileges that docs/operations.md names for PostgreSQL are enough on MariaDB, with the two that it adds. */
@Tag("mariadb")
@ExtendWith({ServersExtension.class, MariaDbExtension.class})
class MariaDbPrivilegesIT {

    private final Set<String> poison = ConcurrentHashMap.newKeySet();

    @Test
    void S_18_what_is_documented_is_enough_from_the_publisher_to_a_parked_key_that_goes_on(
            KafkaServer kafka, EmbeddedMariaDb mariaDb) throws Exception {
        String unique = mariaDb.uniqueName("p");
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(mariaDb.createDatabase(unique));
        pool.setUsername(mariaDb.user());
        pool.setPassword(mariaDb.password());
        try (Scene scene = Scene.create(kafka, pool, JdbcOutbox.mariaDb(), "asset.events:2", "dlq.events:1")) {
            JdbcInbox.mariaDb(scene.database()).createTables();
            scene.execute("CREATE TABLE effect (user varchar(128))");
            for (String role : Set.of("publisher", "relay", "consumer", "oncall", "adopter")) {
                scene.execute("CREATE USER '%s_%s'@'%%' IDENTIFIED BY 'secret'".formatted(unique, role));
            }
            for (Grant grant : PrivilegesIT.documented()) {
                if (!grant.on().startsWith("SEQUENCE")) {
                    grant(scene, grant.privilege(), grant.on(), unique + "_" + grant.role());
                }
            }
            grant(scene, "SELECT", "eventbus_key_lock", unique + "_publisher");
            grant(scene, "UPDATE", "eventbus_meta", unique + "_relay");
            grant(scene, "INSERT", "effect", unique + "_consumer");

            poison.add("mallory");
            publish(scene, as(scene, unique + "_publisher"), "alice", "mallory");
            JdbcInbox inbox = JdbcInbox.mariaDb(as(scene, unique + "_consumer"));
            try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), as(scene, unique + "_relay"), scene.kafka())
                            .build();
                    ConsumerRunner runner = runner(scene, inbox)) {
                relay.start();
                runner.start();
                Eventually.holds(
                        () -> runner.health().parked().events() == 1 && scene.count("SELECT count(*) FROM effect") == 1,
                        () -> relay.health() + " " + runner.health());
                poison.clear();
                Redrive.ofParked(scene.kafka(), scene.group("ledger"), inbox)
                        .plan()
                        .run("mended");
                Eventually.holds(
                        () -> scene.count("SELECT count(*) FROM effect") == 2
                                && scene.count("SELECT count(*) FROM eventbus_outbox") == 0,
                        () -> relay.health() + " " + runner.health());
                assertThat(relay.health().problems()).isEmpty();
            }
        }
    }

    @Test
    void each_that_a_relay_lacks_is_named_as_soon_as_it_connects(KafkaServer kafka, EmbeddedMariaDb mariaDb)
            throws Exception {
        String unique = mariaDb.uniqueName("p");
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(mariaDb.createDatabase(unique));
        pool.setUsername(mariaDb.user());
        pool.setPassword(mariaDb.password());
        try (Scene scene = Scene.create(kafka, pool, JdbcOutbox.mariaDb())) {
            String user = unique + "_relay";
            scene.execute("CREATE USER '%s'@'%%' IDENTIFIED BY 'secret'".formatted(user));
            List<Grant> grants = new ArrayList<>(PrivilegesIT.documented());
            grants.removeIf(grant -> !grant.role().equals("relay") || grant.on().startsWith("SEQUENCE"));
            grants.add(new Grant("UPDATE", "eventbus_meta", "relay"));
            for (Grant grant : grants) {
                grant(scene, grant.privilege(), grant.on(), user);
            }
            grants.removeIf(grant -> grant.privilege().equals("SELECT")); // says that there is no such table
            grants.remove(new Grant("UPDATE", "eventbus_outbox", "relay")); // only PostgreSQL asks for it
            assertThat(grants).hasSize(10);
            for (Grant grant : grants) {
                scene.execute("REVOKE %s ON %s FROM '%s'@'%%'".formatted(grant.privilege(), grant.on(), user));
                try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), as(scene, user), scene.kafka())
                        .build()) {
                    assertThatThrownBy(relay::runOnce)
                            .isInstanceOf(StartRefusedException.class)
                            .hasMessageContaining("Grant %s on `%s`.".formatted(grant.privilege(), grant.on()));
                }
                grant(scene, grant.privilege(), grant.on(), user);
            }
            assertThat(scene.count("SELECT count(*) FROM eventbus_relay_member"))
                    .as("who cannot work counts for nobody")
                    .isZero();
        }
    }

    @Test
    void S_18_a_publisher_lacks_insert_by_name_and_may_adopt_partitions_too_and_an_owner_misses_what_is_not_there(
            KafkaServer kafka, EmbeddedMariaDb mariaDb) throws Exception {
        String unique = mariaDb.uniqueName("p");
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(mariaDb.createDatabase(unique));
        pool.setUsername(mariaDb.user());
        pool.setPassword(mariaDb.password());
        try (Scene scene = Scene.create(kafka, pool, JdbcOutbox.mariaDb())) {
            String publisher = unique + "_publisher";
            String owner = unique + "_owner";
            for (String user : List.of(publisher, owner)) {
                scene.execute("CREATE USER '%s'@'%%' IDENTIFIED BY 'secret'".formatted(user));
            }
            grant(scene, "SELECT", "eventbus_outbox", publisher);
            assertRefused(scene, publisher, "Grant INSERT on %s.eventbus_outbox.".formatted(unique));
            grant(scene, "INSERT", "eventbus_outbox", publisher);
            scene.execute("REVOKE SELECT ON eventbus_outbox FROM '%s'@'%%'".formatted(publisher));
            verify(scene, publisher);
            grant(scene, "UPDATE", "eventbus_meta", publisher);
            verify(scene, publisher);
            for (Grant grant : PrivilegesIT.documented()) {
                if (grant.role().equals("adopter")) {
                    grant(scene, grant.privilege(), grant.on(), publisher);
                }
            }
            verify(scene, publisher);
            scene.execute("UPDATE eventbus_meta SET value = '64' WHERE name = 'shards'");
            assertRefused(scene, publisher, "shards = 64");

            scene.execute("GRANT ALL ON %s.* TO '%s'@'%%'".formatted(unique, owner));
            scene.execute("DROP TABLE eventbus_meta");
            assertRefused(scene, owner, "[eventbus_meta]");
        }
    }

    @Test
    void S_18_a_publisher_may_have_its_privilege_by_a_role(KafkaServer kafka, EmbeddedMariaDb mariaDb)
            throws Exception {
        String unique = mariaDb.uniqueName("p");
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(mariaDb.createDatabase(unique));
        pool.setUsername(mariaDb.user());
        pool.setPassword(mariaDb.password());
        try (Scene scene = Scene.create(kafka, pool, JdbcOutbox.mariaDb())) {
            String user = unique + "_publisher";
            String role = unique + "_role";
            scene.execute("CREATE USER '%s'@'%%' IDENTIFIED BY 'secret'".formatted(user));
            scene.execute("CREATE ROLE '%s'".formatted(role));
            scene.execute("GRANT INSERT ON eventbus_outbox TO '%s'".formatted(role));
            scene.execute("GRANT '%s' TO '%s'@'%%'".formatted(role, user));
            scene.execute("SET DEFAULT ROLE '%s' FOR '%s'@'%%'".formatted(role, user));
            verify(scene, user);
        }
    }

    private static void verify(Scene scene, String user) throws SQLException {
        try (Connection connection = as(scene, user).getConnection()) {
            scene.outbox().verify(connection);
        }
    }

    private static void assertRefused(Scene scene, String user, String why) {
        assertThatThrownBy(() -> verify(scene, user))
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining(why);
    }

    private static void grant(Scene scene, String privilege, String table, String user) throws SQLException {
        scene.execute("GRANT %s ON %s TO '%s'@'%%'".formatted(privilege, table, user));
    }

    private static DataSource as(Scene scene, String user) throws SQLException {
        MariaDbDataSource restricted = new MariaDbDataSource(scene.database().getJdbcUrl());
        restricted.setUser(user);
        restricted.setPassword("secret");
        return restricted;
    }

    private static void publish(Scene scene, DataSource publisher, String... users) throws SQLException {
        try (Connection tx = publisher.getConnection()) {
            scene.outbox().verify(tx);
            tx.setAutoCommit(false);
            scene.outbox().within(tx).lockKeys(users);
            for (String user : users) {
                scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount(user, 1));
            }
            tx.commit();
        }
    }

    private ConsumerRunner runner(Scene scene, JdbcInbox inbox) {
        return ConsumerRunner.builder(scene.kafka(), scene.group("ledger"))
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    if (poison.contains(event.key())) {
                        throw new IllegalStateException();
                    }
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO effect (user) VALUES (?)")) {
                        insert.setString(1, event.key());
                        insert.executeUpdate();
                    }
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.parkKey(inbox, "dlq.events"))
                .build();
    }
}
