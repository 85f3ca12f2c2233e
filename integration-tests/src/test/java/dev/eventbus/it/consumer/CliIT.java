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
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import io.github.resilience4j.retry.RetryConfig;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.PreparedStatement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** The command line, on a real Kafka and a real PostgreSQL. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class CliIT {

    private static final String KEY = "user-very-private";
    private static final String PAYLOAD = "\"newAmount\"";
    private static final String SECRET = "s3cret-of-the-house";

    private final Set<String> poison = ConcurrentHashMap.newKeySet();
    private final Map<String, String> environment = new HashMap<>();
    private final ObjectMapper json = new ObjectMapper();
    private String out = "";
    private String err = "";

    private int run(String... arguments) {
        StringWriter said = new StringWriter();
        StringWriter complained = new StringWriter();
        int code = EventbusCli.run(environment, new PrintWriter(said), new PrintWriter(complained), arguments);
        out = said.toString();
        err = complained.toString();
        assertThat(out + err).doesNotContain(SECRET);
        return code;
    }

    private JsonNode runJson(int code, String... arguments) throws IOException {
        List<String> all = new ArrayList<>(List.of(arguments));
        all.add("--json");
        assertThat(run(all.toArray(String[]::new))).as(() -> out + err).isEqualTo(code);
        return json.readTree(out);
    }

    private void holdsNothingPrivate() {
        assertThat(out + err).doesNotContain(KEY).doesNotContain(PAYLOAD);
    }

    private void configure(Scene scene, String group) {
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

    @Test
    void dead_letters_are_listed_shown_planned_and_redriven(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            String group = scene.group("ledger");
            configure(scene, group);
            poison.add(KEY + "-0");
            ConsumerRunner runner =
                    scene.start(runner(scene, group, AfterRetries.deadLetter("dlq.events"), scene.inbox()));
            publish(scene, 0, 2);
            Eventually.holds( // a plan counts as handled what the group's offset is past
                    () -> scene.committed(group, "asset.events") == 2
                            && runJson(0, "deadletters", "plan")
                                            .get("toRedrive")
                                            .asInt()
                                    == 1,
                    () -> out + runner.health());
            holdsNothingPrivate();
            assertThat(runJson(0, "deadletters", "plan")
                            .get("keys")
                            .get(0)
                            .get("laterHandled")
                            .asText())
                    .isEqualTo("1");

            assertThat(run("deadletters", "list")).isZero();
            assertThat(out)
                    .contains("ATTEMPTS_EXHAUSTED", "READY", "evt-0", "KEY HASH", " asset.events/")
                    .as("topics are as they are typed")
                    .doesNotContain(environment.get("EVENTBUS_TOPIC_PREFIX"));
            holdsNothingPrivate();
            assertThat(run("deadletters", "plan")).isZero();
            assertThat(out).contains("to redrive: 1", "LATER HANDLED");
            holdsNothingPrivate();

            assertThat(run("deadletters", "show", "--event", "evt-0")).isZero();
            assertThat(json.readTree(out).get("keyText").asText()).isEqualTo(KEY);
            assertThat(json.readTree(out).get("valueText").asText()).contains(PAYLOAD);
            assertThat(run("deadletters", "show", "--event", "evt-none")).isEqualTo(1);
            assertThat(run("deadletters", "show", "--key-hash", KeyHash.of(KEY.getBytes(UTF_8))))
                    .isZero();
            assertThat(json.readTree(out).get("keyText").asText()).isEqualTo(KEY);
            assertThat(run("deadletters", "show", "--key-hash", "0123456789abcdef"))
                    .isEqualTo(1);

            assertThat(run("deadletters", "redrive")).as("--note is missing").isEqualTo(2);
            assertThat(run("deadletters", "redrive", "--note", "mended"))
                    .as("not confirmed")
                    .isEqualTo(4);
            assertThat(scene.count("SELECT count(*) FROM eventbus_redrive")).isZero();

            assertThat(run("deadletters", "redrive", "--note", "too early", "--yes", "--by", "ann"))
                    .as("it failed again")
                    .isEqualTo(1);
            holdsNothingPrivate();
            poison.clear();
            Eventually.holds(
                    () -> runJson(0, "deadletters", "plan").get("toRedrive").asInt() == 1, () -> out + runner.health());
            JsonNode done = runJson(0, "deadletters", "redrive", "--note", "mended", "--yes", "--by", "ann");
            assertThat(done.get("applied").asInt()).isEqualTo(1);
            assertThat(scene.count("SELECT count(*) FROM ledger")).isEqualTo(2);
            assertThat(scene.strings(
                            "SELECT requested_by || ' ' || note || ' ' || state FROM eventbus_redrive ORDER BY at"))
                    .containsExactly("ann too early DONE", "ann mended DONE");
            assertThat(runJson(0, "deadletters", "list")
                            .get("letters")
                            .get(0)
                            .get("standing")
                            .asText())
                    .isEqualTo("ALREADY_APPLIED");
        }
    }

    @Test
    void parked_keys_are_listed_shown_redriven_and_discarded(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            String group = scene.group("ledger");
            configure(scene, group);
            poison.add(KEY + "-0");
            JdbcInbox inbox = scene.inbox();
            ConsumerRunner runner = scene.start(runner(scene, group, AfterRetries.parkKey(inbox, "dlq.events"), inbox));
            publish(scene, 0, 3);
            Eventually.holds(() -> runner.health().parked().events() == 3, runner::health);
            assertThat(run("parked", "list")).isZero();
            assertThat(out)
                    .contains("PARKED", "ATTEMPTS_EXHAUSTED", "asset.events ")
                    .doesNotContain(environment.get("EVENTBUS_TOPIC_PREFIX"));
            holdsNothingPrivate();
            assertThat(run("parked", "show", "--key", KEY)).isZero();
            assertThat(out.lines())
                    .hasSize(3)
                    .allSatisfy(line -> assertThat(line).contains(KEY));
            assertThat(run("parked", "list", "--key", "somebody-else")).isZero();
            assertThat(out).contains("parked keys: none");
            poison.clear();
            JsonNode done = runJson(0, "parked", "redrive", "--note", "mended", "--yes");
            assertThat(done.get("applied").asInt()).isEqualTo(3);
            assertThat(scene.strings("SELECT n::text FROM ledger ORDER BY ord")).containsExactly("0", "1", "2");

            poison.add(KEY + "-3");
            publish(scene, 3, 4);
            Eventually.holds(() -> runner.health().parked().events() == 1, runner::health);
            assertThat(runJson(0, "parked", "discard", "--note", "test data", "--yes")
                            .get("discarded")
                            .asInt())
                    .isEqualTo(1);
            assertThat(scene.count("SELECT count(*) FROM eventbus_inbox WHERE outcome = 'SKIPPED'"))
                    .isEqualTo(1);
        }
    }

    @Test
    void without_an_inbox_letters_go_back_to_their_topic_for_their_group_and_cannot_be_discarded(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            String group = scene.group("cache");
            configure(scene, group);
            environment.remove("EVENTBUS_DATABASE_URL");
            poison.add("evt-0");
            List<String> handled = new CopyOnWriteArrayList<>();
            ConsumerRunner runner = scene.start(ConsumerRunner.builder(scene.kafka(), group)
                    .on(ASSET_UPDATED, (event, delivery) -> {
                        if (poison.contains(event.id())) {
                            throw new IllegalStateException("no luck");
                        }
                        handled.add(event.id());
                    })
                    .retry(RetryConfig.custom().maxAttempts(1).build())
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            publish(scene, 0, 2);
            Eventually.holds(
                    () -> runJson(0, "deadletters", "plan", "--without-inbox")
                                    .get("toRedrive")
                                    .asInt()
                            == 1,
                    () -> out + runner.health());
            holdsNothingPrivate();
            assertThat(run("deadletters", "show", "--without-inbox", "--event", "evt-0"))
                    .isZero();
            assertThat(json.readTree(out).get("keyText").asText()).isEqualTo(KEY);
            assertThat(run("deadletters", "discard", "--without-inbox", "--note", "x"))
                    .as("before anything is asked")
                    .isEqualTo(2);
            assertThat(err).contains("has no inbox that could remember it");
            assertThat(scene.endOffsets("asset.events")).isEqualTo(2);

            poison.clear();
            JsonNode sent = runJson(0, "deadletters", "redrive", "--without-inbox", "--note", "mended", "--yes");
            assertThat(sent.get("handedOver").asInt()).isEqualTo(1);
            assertThat(sent.get("waiting").asInt()).as("nobody knows").isZero();
            Eventually.holds(() -> handled.contains("evt-0"), runner::health);
            assertThat(runJson(0, "deadletters", "redrive", "--without-inbox", "--note", "again", "--yes")
                            .get("toRedrive")
                            .asInt())
                    .isZero();
            assertThat(scene.endOffsets("asset.events")).isEqualTo(3);
        }
    }

    @Test
    void an_outbox_is_looked_at_and_topics_are_compared(
            KafkaServer kafka, PostgresServer postgres, @TempDir Path folder) throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            configure(scene, scene.group("ledger"));
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount(KEY, 1)));
            assertThat(runJson(0, "outbox", "stats").get("pending").asInt()).isEqualTo(1);
            assertThat(runJson(0, "outbox", "blocked").get("blockedKeys")).isEmpty();
            holdsNothingPrivate();
            Path save = folder.resolve("event.json");
            assertThat(run("outbox", "discard", "--event", "none", "--note", "x", "--save", save.toString(), "--yes"))
                    .isEqualTo(1);
            assertThat(err).contains("was not discarded");
            assertThat(save).as("it was not needed").doesNotExist();

            scene.execute("""
                    INSERT INTO eventbus_blocked_key (aggregatetype, aggregateid, shard, seq, event_id, reason, since)
                    SELECT aggregatetype, aggregateid, shard, seq, id, 'REFUSED', now() FROM eventbus_outbox
                    """);
            assertThat(runJson(1, "outbox", "blocked").get("blockedKeys")).hasSize(1);
            assertThat(runJson(0, "outbox", "unblock", "--reason", "REFUSED", "--yes")
                            .get("unblocked")
                            .asInt())
                    .isEqualTo(1);
            scene.execute("UPDATE eventbus_blocked_key SET reason = 'REFUSED'");
            String id = scene.strings("SELECT id FROM eventbus_outbox").get(0);
            assertThat(run("outbox", "discard", "--event", id, "--note", "x", "--save", save.toString(), "--yes"))
                    .isZero();
            assertThat(new ObjectMapper()
                            .readTree(Files.readString(save))
                            .get("eventId")
                            .asText())
                    .isEqualTo(id);
            assertThat(scene.count("SELECT count(*) FROM eventbus_outbox")).isZero();

            String right = "asset.events = partitions=3 replicas=1 min.insync=1";
            assertThat(runJson(1, "topics", "verify", "--topic", right).get("findings"))
                    .as("the one broker of the test has one replica, and that is told")
                    .hasSize(1);
            assertThat(out).contains("min.insync.replicas");
            Path file = folder.resolve("topics.properties");
            Files.writeString(file, "asset.events = partitions=6 replicas=1\nnone.events = partitions=1\n");
            assertThat(run("topics", "verify", "--file", file.toString())).isEqualTo(1);
            assertThat(out).contains("none.events", "findings: ");
            assertThat(run("topics", "verify", "--topic", "asset.events = partition=3"))
                    .isEqualTo(2);
        }
    }

    @Test
    void topics_are_mended_once_a_person_has_said_so_and_grow_once_that_was_said_too(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            configure(scene, scene.group("ledger"));
            String[] topics = {
                "--topic",
                "asset.events = partitions=6 replicas=1 retention=P8D",
                "--topic",
                "new.events = partitions=1 replicas=1"
            };
            JsonNode plan = runJson(1, with(topics, "topics", "plan")).get("findings");
            assertThat(plan).hasSize(3);
            assertThat(run(with(topics, "topics", "apply"))).as("not confirmed").isEqualTo(4);
            assertThat(out).as("the plan, before it asks").contains("plan: 3", "topic new.events does not exist");
            assertThat(runJson(1, with(topics, "topics", "plan")).get("findings"))
                    .isEqualTo(plan);

            JsonNode applied = runJson(1, with(topics, "topics", "apply", "--yes"));
            assertThat(applied.get("mended")).hasSize(2);
            assertThat(applied.get("findings")).hasSize(1);
            assertThat(applied.get("findings").get(0).get("finding").asText()).contains("3 partitions, 6 are wanted");

            JsonNode grown = runJson(
                    0, with(topics, "topics", "apply", "--yes", "--grow-partitions-though-keys-change-partition"));
            assertThat(grown.get("mended")).hasSize(1);
            assertThat(grown.get("mended").get(0).get("was").asText())
                    .contains("3 partitions, 6 are wanted", "OutboxAdmin.adoptPartitions(");
            assertThat(runJson(0, with(topics, "topics", "plan")).get("findings"))
                    .isEmpty();
        }
    }

    @Test
    void new_partitions_are_used_once_the_groups_that_were_named_have_handled_all(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            String group = scene.group("ledger");
            configure(scene, group);
            scene.startRelay();
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount(KEY, 1)));
            Eventually.holds(() -> scene.count("SELECT count(*) FROM eventbus_outbox") == 0, () -> "it is not sent");
            try (Admin admin = scene.kafka().admin()) {
                admin.createPartitions(Map.of(scene.kafka().physicalTopic("asset.events"), NewPartitions.increaseTo(6)))
                        .all()
                        .get();
            }
            String[] adopt = {"outbox", "adopt", "--topic", "asset.events"};
            assertThat(run(adopt)).as("not confirmed").isEqualTo(4);
            String[] waiting = {"--group", group, "--wait", "PT3S", "--yes"};
            Eventually.holds(() -> run(with(waiting, adopt)) == 1, () -> "not each broker knows of them: " + out + err);
            assertThat(err).contains("goes on as before");
            String[] alone = {"--without-groups", "--yes"};
            assertThat(run(with(waiting, with(alone, adopt)))).as("one of them").isEqualTo(2);
            assertThat(runJson(0, with(alone, adopt)).get("partitions").asInt()).isEqualTo(6);
        }
    }

    @Test
    void what_a_group_has_handled_can_be_forgotten(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            String group = scene.group("ledger");
            configure(scene, group);
            ConsumerRunner runner =
                    scene.start(runner(scene, group, AfterRetries.deadLetter("dlq.events"), scene.inbox()));
            publish(scene, 0, 2);
            Eventually.holds(() -> scene.count("SELECT count(*) FROM eventbus_inbox") == 2, runner::health);
            runner.close();
            assertThat(run("inbox", "forget")).as("not confirmed").isEqualTo(4);
            assertThat(runJson(0, "inbox", "forget", "--group", "somebody.else", "--yes")
                            .get("forgotten")
                            .asInt())
                    .isZero();
            assertThat(runJson(0, "inbox", "forget", "--yes").get("forgotten").asInt())
                    .isEqualTo(2);
            assertThat(scene.count("SELECT count(*) FROM eventbus_inbox")).isZero();
        }
    }

    private static String[] with(String[] more, String... arguments) {
        List<String> all = new ArrayList<>(List.of(arguments));
        all.addAll(List.of(more));
        return all.toArray(String[]::new);
    }

    @Test
    void what_is_wrong_has_an_exit_code_of_its_own_and_no_secret_is_ever_said(
            KafkaServer kafka, PostgresServer postgres, @TempDir Path folder) throws Exception {
        assertThat(run("deadletters", "list", "--password", SECRET)).isEqualTo(2);
        assertThat(run("deadletters", "list", SECRET)).isEqualTo(2);
        assertThat(run("deadletters", "list")).isEqualTo(2);
        assertThat(err).contains("kafka.bootstrap.servers", "EVENTBUS_KAFKA_BOOTSTRAP_SERVERS");
        Path config = folder.resolve("eventbus.properties");
        Files.writeString(config, """
                kafka.bootstrap.servers = localhost:1
                kafka.security.protocol = SASL_PLAINTEXT
                kafka.sasl.mechanism = PLAIN
                kafka.sasl.jaas.config = org.apache.kafka.common.security.plain.PlainLoginModule required username="a" password="%s";
                database.url = jdbc:postgresql://localhost:1/x?password=%s
                database.password = %s
                group = ledger
                dead.letters = dlq.events
                """.formatted(SECRET, SECRET, SECRET));
        assertThat(run("parked", "list", "--config", config.toString())).isEqualTo(3);
        assertThat(run("outbox", "stats", "--config", config.toString())).isEqualTo(3);
        assertThat(run("deadletters", "list", "--without-inbox", "--config", config.toString()))
                .isEqualTo(3);
        assertThat(err).contains("EB-1003");
        Files.writeString(config, "pasword = " + SECRET);
        assertThat(run("parked", "list", "--config", config.toString())).isEqualTo(2);
        assertThat(err).contains("pasword");
        assertThat(run("deadletters", "redrive", "--help")).isZero();
        assertThat(out).contains("--note").doesNotContain("--password");
    }

    @Test
    void the_runnable_jar_runs_by_itself_with_its_drivers(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            configure(scene, scene.group("ledger"));
            Path jar;
            try (Stream<Path> built = Files.list(Path.of("..", "eventbus-cli", "target"))) {
                jar = built.filter(file -> file.toString().endsWith("-runnable.jar"))
                        .findFirst()
                        .orElseThrow();
            }
            ProcessBuilder process = new ProcessBuilder(
                    Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                    "-jar",
                    jar.toString(),
                    "parked",
                    "list");
            process.environment().putAll(environment);
            Process running = process.redirectErrorStream(true).start();
            String said = new String(running.getInputStream().readAllBytes(), UTF_8);
            assertThat(running.waitFor()).as(said).isZero();
            assertThat(said).isEqualTo("parked keys: none\n");
        }
    }

    private static Scene scene(KafkaServer kafka, PostgresServer postgres) throws Exception {
        Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1");
        scene.execute("CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, n bigint)");
        return scene;
    }

    private ConsumerRunner runner(Scene scene, String group, AfterRetries after, JdbcInbox inbox) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    @Nullable Long n = event.payload().newAmount();
                    if (poison.contains(event.key() + "-" + n)) {
                        throw new IllegalStateException("no luck");
                    }
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO ledger (n) VALUES (?)")) {
                        insert.setLong(1, Objects.requireNonNull(n));
                        insert.executeUpdate();
                    }
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(after)
                .build();
    }

    private static void publish(Scene scene, int from, int to) {
        for (int n = from; n < to; n++) {
            scene.sendRaw("asset.events", KEY, """
                    {"eventId":"evt-%d","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s","newAmount":%d}
                    """.formatted(n, KEY, n));
        }
        scene.flush();
    }
}
