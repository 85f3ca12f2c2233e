package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import com.zaxxer.hikari.HikariConfig;
import dev.eventbus.Event;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.PreparedStatement;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** S-17: whatever a text says, it is a value and no statement, also where the driver itself puts values into the text of statements. */
@ExtendWith(ServersExtension.class)
class HostileTextIT {

    private static final List<String> TEXTS = List.of(
            "Robert'); DROP TABLE eventbus_outbox; --",
            "\\'; DELETE FROM eventbus_inbox; --",
            "\"; DROP TABLE eventbus_parked_event; --",
            "$1",
            "? ?? $$ :id",
            "-1 -- ", // CVE-2024-1597
            "/* */ 1; SELECT pg_sleep(30)",
            "\u02bc; \uff07; DROP TABLE eventbus_meta",
            "%s %n {} ${jndi:ldap://localhost/x}",
            "line\r\nbreak\t\u202eright to left");

    private final AtomicBoolean fails = new AtomicBoolean(true);

    private static String id(int number) {
        return number + " " + TEXTS.get(number);
    }

    @ParameterizedTest
    @ValueSource(strings = {"simple", "extended"})
    void S_17_a_hostile_text_in_every_column_comes_out_as_it_went_in(
            String queryMode, KafkaServer kafka, PostgresServer postgres) throws Exception {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(postgres.createDatabase(postgres.uniqueName("text")));
        pool.addDataSourceProperty("preferQueryMode", queryMode);
        pool.setUsername(postgres.user());
        pool.setPassword(postgres.password());
        try (Scene scene = Scene.create(kafka, pool, JdbcOutbox.postgres(), "asset.events:2", "dlq.events:1")) {
            JdbcInbox.createTables(scene.database());
            scene.execute(
                    "CREATE TABLE effect (ord bigint GENERATED ALWAYS AS IDENTITY, id text, key text, tenant text)");
            String group = scene.group("ledger '; DROP TABLE effect; --");
            publish(scene);
            JdbcInbox inbox = scene.inbox();
            try (OutboxRelay relay = scene.startRelay();
                    ConsumerRunner runner = runner(scene, inbox, group)) {
                runner.start();
                Eventually.holds(() -> runner.health().parked().events() == TEXTS.size(), runner::health);
                Eventually.holds(() -> scene.records("dlq.events").size() == TEXTS.size(), runner::health);

                fails.set(false);
                Redrive.ofParked(scene.kafka(), group, inbox)
                        .requestedBy(TEXTS.get(0))
                        .plan()
                        .run(String.join(" ", TEXTS));
                Eventually.holds(() -> scene.count("SELECT count(*) FROM effect") == TEXTS.size(), runner::health);
                Eventually.holds(() -> scene.count("SELECT count(*) FROM eventbus_outbox") == 0, relay::health);
            }
            List<String> wanted = new ArrayList<>();
            for (int i = 0; i < TEXTS.size(); i++) {
                wanted.add(id(i) + "|" + TEXTS.get(i) + "|" + TEXTS.get(i));
            }
            assertThat(scene.strings("SELECT id || '|' || key || '|' || tenant FROM effect"))
                    .containsExactlyInAnyOrderElementsOf(wanted);
            assertThat(scene.strings("SELECT requested_by || note FROM eventbus_redrive"))
                    .containsExactly(TEXTS.get(0) + String.join(" ", TEXTS));
            assertThat(scene.strings("SELECT outcome FROM eventbus_inbox WHERE consumer_group = '%s'"
                            .formatted(group.replace("'", "''"))))
                    .hasSize(TEXTS.size())
                    .containsOnly("DONE");
        }
    }

    private static void publish(Scene scene) throws Exception {
        scene.inTransaction(tx -> {
            scene.outbox().within(tx).lockKeys(TEXTS.toArray(new String[0]));
            for (int i = 0; i < TEXTS.size(); i++) {
                AssetUpdated payload =
                        new AssetUpdated(TEXTS.get(i), TEXTS.get(i), "SELF", "ASSET", null, null, 1L, null);
                scene.outbox()
                        .within(tx)
                        .publish(Event.of(ASSET_UPDATED, id(i), Instant.EPOCH, payload)
                                .withHeader("tenant", TEXTS.get(i)));
            }
        });
    }

    private ConsumerRunner runner(Scene scene, JdbcInbox inbox, String group) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    if (fails.get()) {
                        throw new IllegalStateException(event.payload().changeType());
                    }
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO effect (id, key, tenant) VALUES (?, ?, ?)")) {
                        insert.setString(1, event.id());
                        insert.setString(2, event.key());
                        insert.setString(3, event.headers().get("tenant"));
                        insert.executeUpdate();
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> 10L)
                        .build())
                .afterRetries(AfterRetries.parkKey(inbox, "dlq.events"))
                .build();
    }
}
