package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

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
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** S-21: what docs/operations.md says is held of a person can be found, and is gone afterwards. */
@ExtendWith(ServersExtension.class)
class ErasureIT {

    private static final Path DOCS = Path.of("../docs/operations.md");
    private static final String PERSON = "alice";

    /** The statements of the docs, with the person's key in place of the parameter. */
    private static List<String> documented(String verb, int number) throws Exception {
        List<String> statements = new ArrayList<>();
        for (String line : Files.readAllLines(DOCS)) {
            if (line.startsWith(verb) && line.contains(":key")) {
                statements.add(line.replace(":key", "'" + PERSON + "'").replace(";", ""));
            }
        }
        assertThat(statements).hasSize(number);
        return statements;
    }

    private static long found(Scene scene) throws Exception {
        long rows = 0;
        for (String select : documented("SELECT count(*)", 4)) {
            rows += scene.count(select);
        }
        return rows;
    }

    @Test
    void S_21_what_is_held_of_a_person_is_found_and_gone_afterwards_and_nothing_of_others(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1", "dlq.events:1")) {
            JdbcInbox inbox = scene.inbox();
            String group = scene.group("ledger");
            publish(scene, PERSON, "bob");
            try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                    .build()) {
                assertThat(relay.runOnce()).isEqualTo(2);
            }
            try (ConsumerRunner runner = runner(scene, inbox, group)) {
                runner.start();
                Eventually.holds(() -> runner.health().parked().events() == 2, runner::health);
            }
            publish(scene, PERSON);
            scene.execute("UPDATE eventbus_outbox SET created_at = created_at - interval '8 days'");
            try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                    .build()) {
                relay.start();
                Eventually.holds(() -> relay.health().blockedKeys() == 1, relay::health);
            }
            publish(scene, "bob"); // no relay runs any more: it waits
            assertThat(found(scene))
                    .as("one is not sent, its key is blocked, one is parked, and so is its key")
                    .isEqualTo(4);

            Redrive.of(scene.kafka(), group, "dlq.events", inbox)
                    .key(PERSON)
                    .plan()
                    .discard("erased on request");
            for (String delete : documented("DELETE FROM", 1)) {
                scene.execute(delete);
            }
            assertThat(scene.strings("SELECT aggregateid FROM eventbus_outbox")).containsExactly("bob");
            OutboxRelay relay = scene.startRelay();
            Eventually.holds(() -> found(scene) == 0, relay::health);
            assertThat(scene.count("SELECT count(*) FROM eventbus_parked_event"))
                    .as("bob's")
                    .isEqualTo(1);
            assertThat(everythingIn(scene)).doesNotContain(PERSON).contains("bob");
        }
    }

    /** All rows of all tables, as text, whatever their bytes are. */
    private static String everythingIn(Scene scene) throws Exception {
        StringBuilder all = new StringBuilder();
        for (String table : scene.strings(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'eventbus%'")) {
            scene.strings("SELECT t::text FROM %s t".formatted(table)).forEach(row -> all.append(plain(row)));
        }
        return all.toString();
    }

    /** Bytes are shown in hexadecimal digits. */
    private static String plain(String row) {
        String hex = java.util.HexFormat.of().formatHex(PERSON.getBytes(java.nio.charset.StandardCharsets.UTF_8));
        String bob = java.util.HexFormat.of().formatHex("bob".getBytes(java.nio.charset.StandardCharsets.UTF_8));
        return row.replace(hex, PERSON).replace(bob, "bob");
    }

    private static void publish(Scene scene, String... keys) throws Exception {
        scene.inTransaction(tx -> {
            for (String key : keys) {
                scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount(key, 1));
            }
        });
    }

    private static ConsumerRunner runner(Scene scene, JdbcInbox inbox, String group) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    throw new IllegalStateException("no luck");
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> 10L)
                        .build())
                .afterRetries(AfterRetries.parkKey(inbox, "dlq.events"))
                .build();
    }
}
