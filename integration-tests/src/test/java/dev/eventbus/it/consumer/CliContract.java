package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.eventbus.cli.EventbusCli;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.KeyHash;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import io.github.resilience4j.retry.RetryConfig;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What the command line does with letters and parked keys, on a real Kafka and a real database of one kind. */
abstract class CliContract {

    private static final String KEY = "user-very-private";

    private final Set<String> poison = ConcurrentHashMap.newKeySet();
    private final ObjectMapper json = new ObjectMapper();
    private final Scene scene;
    private final JdbcInbox inbox;
    private final String group;
    private final Map<String, String> environment = new HashMap<>();
    private String err = "";

    /** @param scene with topics {@code asset.events} and {@code dlq.events} */
    CliContract(Scene scene, Function<Scene, JdbcInbox> inbox) throws SQLException {
        this.scene = scene;
        this.inbox = inbox.apply(scene);
        this.group = scene.group("ledger");
        scene.execute("CREATE TABLE ledger (n bigint PRIMARY KEY)");
        String physical = scene.kafka().physicalTopic("x");
        environment.put("EVENTBUS_KAFKA_BOOTSTRAP_SERVERS", scene.kafka().bootstrapServers());
        environment.put("EVENTBUS_TOPIC_PREFIX", physical.substring(0, physical.length() - 1));
        environment.put("EVENTBUS_DATABASE_URL", scene.database().getJdbcUrl());
        environment.put("EVENTBUS_DATABASE_USER", scene.database().getUsername());
        environment.put(
                "EVENTBUS_DATABASE_PASSWORD",
                Objects.requireNonNullElse(scene.database().getPassword(), ""));
        environment.put("EVENTBUS_GROUP", group);
        environment.put("EVENTBUS_DEAD_LETTERS", "dlq.events");
    }

    @AfterEach
    void close() throws Exception {
        scene.close();
    }

    private JsonNode run(int code, String... arguments) throws IOException {
        List<String> all = new ArrayList<>(List.of(arguments));
        all.add("--json");
        StringWriter said = new StringWriter();
        StringWriter complained = new StringWriter();
        int ended = EventbusCli.run(
                environment, new PrintWriter(said), new PrintWriter(complained), all.toArray(String[]::new));
        assertThat(ended).as("%s %s", said, complained).isEqualTo(code);
        assertThat(said + " " + complained).doesNotContain(KEY);
        err = complained.toString();
        return json.readTree(said.toString());
    }

    private static int number(JsonNode report, String fact) {
        return report.get(fact).asInt();
    }

    @Test
    void letters_are_planned_redriven_and_discarded() throws Exception {
        poison.addAll(Set.of("evt-0", "evt-2"));
        ConsumerRunner runner = scene.start(runner(AfterRetries.deadLetter("dlq.events")));
        publish(0, 4);
        Eventually.holds(
                () -> scene.committed(group, "asset.events") == 4
                        && number(run(0, "deadletters", "plan"), "toRedrive") == 2,
                runner::health);
        JsonNode key = run(0, "deadletters", "plan").get("keys").get(0);
        assertThat(key.get("laterHandled").isNumber()).isTrue();
        assertThat(number(key, "laterHandled")).isEqualTo(2);
        assertThat(key.get("thatIsAll").asBoolean()).isTrue();

        JsonNode given = run(0, "deadletters", "discard", "--event", "evt-0", "--note", "test data", "--yes");
        assertThat(number(given, "discarded")).isEqualTo(1);
        poison.clear();
        JsonNode done = run(0, "deadletters", "redrive", "--note", "mended", "--yes");
        assertThat(number(done, "applied")).isEqualTo(1);
        assertThat(number(run(0, "deadletters", "discard", "--note", "again", "--yes"), "toDiscard"))
                .as("all are settled")
                .isZero();
        assertThat(scene.count("SELECT count(*) FROM ledger")).isEqualTo(3);
        assertThat(scene.count("SELECT count(*) FROM eventbus_inbox WHERE outcome = 'SKIPPED'"))
                .isEqualTo(1);
        List<String> standings = new ArrayList<>();
        run(0, "deadletters", "list")
                .get("letters")
                .forEach(letter -> standings.add(letter.get("standing").asText()));
        assertThat(standings).containsExactlyInAnyOrder("DISCARDED", "ALREADY_APPLIED");
    }

    @Test
    void parked_keys_are_redriven_and_discarded_also_while_they_are_redriven() throws Exception {
        poison.add("evt-0");
        ConsumerRunner runner = scene.start(runner(AfterRetries.parkKey(inbox, "dlq.events")));
        publish(0, 3);
        Eventually.holds(() -> runner.health().parked().events() == 3, runner::health);
        JsonNode failed = run(1, "parked", "redrive", "--note", "too early", "--yes");
        assertThat(number(failed, "failedAgain")).isEqualTo(1);
        poison.clear();
        assertThat(number(run(0, "parked", "redrive", "--note", "mended", "--yes"), "applied"))
                .isEqualTo(3);

        poison.add("evt-3");
        publish(3, 5);
        Eventually.holds(() -> runner.health().parked().events() == 2, runner::health);
        runner.close();
        assertThat(number(
                        run(6, "parked", "redrive", "--note", "nobody is there", "--yes", "--wait", "PT1S"), "waiting"))
                .isEqualTo(2);
        assertThat(number(run(1, "parked", "discard", "--note", "all", "--yes"), "toDiscard"))
                .as("what is being redriven is named")
                .isZero();
        JsonNode given = run(
                0, "parked", "discard", "--key-hash", KeyHash.of(KEY.getBytes(UTF_8)), "--note", "test data", "--yes");
        assertThat(number(given, "discarded")).isEqualTo(2);
        assertThat(scene.count("SELECT count(*) FROM eventbus_parked_key")).isZero();
        publish(5, 6);
        ConsumerRunner second = scene.start(runner(AfterRetries.parkKey(inbox, "dlq.events")));
        Eventually.holds(() -> scene.count("SELECT count(*) FROM ledger") == 4, second::health);
        assertThat(scene.count("SELECT count(*) FROM eventbus_inbox WHERE outcome = 'SKIPPED'"))
                .isEqualTo(2);
    }

    @Test
    void a_copy_of_an_event_whose_key_is_not_selected_is_told_beside_what_was_redriven() throws Exception {
        poison.addAll(Set.of("evt-0", "evt-1"));
        ConsumerRunner runner = scene.start(runner(AfterRetries.parkKey(inbox, "dlq.events")));
        publish(0, 2);
        Eventually.holds(() -> runner.health().parked().events() == 2, runner::health);
        String since = Instant.now().toString();
        poison.remove("evt-0");
        assertThat(number(run(1, "parked", "redrive", "--note", "mended for one", "--yes"), "failedAgain"))
                .as("the one behind it, whose copy is newer than its key is parked")
                .isEqualTo(1);
        runner.close();

        poison.add("evt-2");
        ConsumerRunner second = scene.start(runner(AfterRetries.deadLetter("dlq.events")));
        publish("user-else", 2, 3);
        Eventually.holds(
                () -> number(run(0, "deadletters", "plan", "--from", since), "toRedrive") == 1, second::health);
        poison.remove("evt-2");
        JsonNode done = run(1, "deadletters", "redrive", "--from", since, "--note", "mended", "--yes");
        assertThat(number(done, "applied")).isEqualTo(1);
        assertThat(err).contains("1 events are PARKED", "select the key");
    }

    private ConsumerRunner runner(AfterRetries after) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    if (poison.contains(event.id())) {
                        throw new IllegalStateException("no luck");
                    }
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO ledger (n) VALUES (?)")) {
                        insert.setLong(1, Objects.requireNonNull(event.payload().newAmount()));
                        insert.executeUpdate();
                    }
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(after)
                .build();
    }

    private void publish(int from, int to) {
        publish(KEY, from, to);
    }

    private void publish(String key, int from, int to) {
        for (int n = from; n < to; n++) {
            scene.sendRaw("asset.events", key, """
                    {"eventId":"evt-%d","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s","newAmount":%d}
                    """.formatted(n, key, n));
        }
        scene.flush();
    }
}
