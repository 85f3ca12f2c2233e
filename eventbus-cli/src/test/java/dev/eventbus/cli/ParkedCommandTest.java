package dev.eventbus.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey.State;
import dev.eventbus.consumer.redrive.KeyHash;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Parked keys at three in the morning: which can be discarded, what is said where none can, and how a script is told. No runner is there. */
class ParkedCommandTest {

    private static final String GROUP = "ledger";

    private final JdbcDataSource database = new JdbcDataSource();
    private final JdbcInbox inbox = JdbcInbox.h2(database);
    private String out = "";
    private String err = "";

    @BeforeEach
    void tables() throws SQLException {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        inbox.createTables();
    }

    private int run(String... arguments) {
        StringWriter said = new StringWriter();
        StringWriter complained = new StringWriter();
        int code = EventbusCli.run(
                Map.of(
                        "EVENTBUS_DATABASE_URL",
                        database.getURL(),
                        "EVENTBUS_GROUP",
                        GROUP,
                        "EVENTBUS_KAFKA_BOOTSTRAP_SERVERS",
                        "localhost:1"),
                new PrintWriter(said),
                new PrintWriter(complained),
                arguments);
        out = said.toString();
        err = complained.toString();
        return code;
    }

    private JsonNode runJson(int code, String... arguments) throws IOException {
        assertThat(run(arguments)).as(() -> out + err).isEqualTo(code);
        return new ObjectMapper().readTree(out);
    }

    private void park(String key, State state, int events) throws SQLException {
        for (int n = 1; n <= events; n++) {
            Mark mark = new Mark(GROUP, key + n, new byte[] {1}, "asset.events", 0, n);
            ParkedEvent event = ParkedEvent.following(
                    key + n, new ConsumerRecord<>("asset.events", 0, n, key.getBytes(UTF_8), null));
            event = n == 1 ? event.failed(4, "ATTEMPTS_EXHAUSTED", null) : event;
            assertThat(
                            n == 1
                                    ? inbox.parking().park(mark, event, state, null)
                                    : inbox.parking().follow(mark, event).orElseThrow())
                    .isEqualTo(new MarkResult.Decided());
        }
    }

    private long count(String sql) throws SQLException {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement();
                var row = statement.executeQuery("SELECT count(*) FROM " + sql)) {
            row.next();
            return row.getLong(1);
        }
    }

    private void execute(String sql) throws SQLException {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    @Test
    void what_is_being_redriven_is_not_discarded_with_all_and_that_is_said() throws SQLException {
        park("bob", State.REDRIVE, 3);
        assertThat(run("parked", "discard", "--note", "x", "--yes")).isEqualTo(1);
        assertThat(err).contains("nothing to discard", "3 events are UNDER_WAY", "name their key");
        assertThat(count("eventbus_parked_event")).isEqualTo(3);
    }

    @ParameterizedTest
    @ValueSource(strings = {"REDRIVE", "WAITING", "PARKED"})
    void a_key_that_is_named_is_discarded_whatever_it_waits_for(State state) throws SQLException, IOException {
        park("bob", state, 3);
        park("ann", state, 1);
        assertThat(runJson(0, "parked", "discard", "--key", "bob", "--note", "x", "--yes", "--json")
                        .get("discarded")
                        .asInt())
                .isEqualTo(3);
        assertThat(runJson(
                                0,
                                "parked",
                                "discard",
                                "--key-hash",
                                KeyHash.of("ann".getBytes(UTF_8)),
                                "--note",
                                "x",
                                "--yes",
                                "--json")
                        .get("discarded")
                        .asInt())
                .isEqualTo(1);
        assertThat(count("eventbus_parked_key")).isZero();
        assertThat(count("eventbus_inbox WHERE outcome = 'SKIPPED'")).isEqualTo(4);
    }

    @Test
    void what_was_redriven_too_often_is_told_by_a_redrive_and_goes_with_a_discard_of_all() throws SQLException {
        park("bob", State.PARKED, 2);
        execute("UPDATE eventbus_parked_key SET redrives = 3");
        assertThat(run("parked", "redrive", "--note", "x", "--yes")).isEqualTo(1);
        assertThat(err).contains("nothing to redrive", "2 events are TOO_OFTEN", "--most-redrives");
        assertThat(run("parked", "discard", "--note", "x", "--yes")).isZero();
        assertThat(out).contains("discarded: 2");
        assertThat(count("eventbus_parked_key")).isZero();
    }

    @Test
    void what_waits_for_its_next_try_is_told_by_both() throws SQLException {
        park("bob", State.WAITING, 2);
        assertThat(run("parked", "discard", "--note", "x", "--yes")).isEqualTo(1);
        assertThat(err).contains("2 events are WAITING", "name the key");
        assertThat(run("parked", "redrive", "--note", "x", "--yes"))
                .as("it is handled by itself")
                .isEqualTo(6);
        assertThat(err).contains("2 events are WAITING", "name the key");
        assertThat(count("eventbus_parked_event")).isEqualTo(2);
    }

    @Test
    void what_a_discard_leaves_alone_beside_what_it_gives_up_is_told_and_no_success() throws SQLException {
        for (State state : List.of(State.WAITING, State.REDRIVE)) {
            park("bob" + state, state, 2);
            park("ann" + state, State.PARKED, 1);
            assertThat(run("parked", "discard", "--note", "x", "--yes")).isEqualTo(1);
            assertThat(out).contains("discarded: 1");
            assertThat(err).contains("2 events are");
            assertThat(run("parked", "discard", "--key", "bob" + state, "--note", "x", "--yes"))
                    .isZero();
        }
        assertThat(count("eventbus_parked_key")).isZero();
    }

    @Test
    void what_waits_beside_what_a_redrive_hands_over_has_a_code_of_its_own() throws SQLException {
        park("bob", State.WAITING, 2);
        park("ann", State.PARKED, 1);
        assertThat(run("parked", "redrive", "--note", "x", "--yes", "--wait", "PT0S"))
                .isEqualTo(6);
        assertThat(err).contains("2 events are WAITING");
    }

    @Test
    void a_selection_that_nothing_fits_is_no_success_and_says_what_there_is_beside_it() throws SQLException {
        park("bob", State.PARKED, 1);
        assertThat(run("parked", "discard", "--key", "bbo", "--note", "x", "--yes"))
                .isEqualTo(1);
        assertThat(err).contains("1 other parked keys", "No letter and no parked key is as was said");
        assertThat(run("parked", "discard", "--key-hash", "0000", "--note", "x", "--yes"))
                .isEqualTo(1);
        assertThat(err).contains("parked list");
        assertThat(run("parked", "discard", "--key-hash", "0000", "--key", "bob", "--note", "x", "--yes"))
                .isEqualTo(2);
        assertThat(count("eventbus_parked_event")).isEqualTo(1);
    }

    @Test
    void where_nothing_is_parked_all_is_well() throws IOException {
        assertThat(runJson(0, "parked", "discard", "--note", "x", "--yes", "--json")
                        .get("toDiscard")
                        .asInt())
                .as("one document, also if there is nothing")
                .isZero();
        assertThat(run("parked", "redrive", "--note", "x", "--yes")).isZero();
    }

    @Test
    void what_was_handed_over_and_is_not_handled_yet_has_a_code_of_its_own() throws SQLException, IOException {
        park("bob", State.PARKED, 2);
        JsonNode result = runJson(6, "parked", "redrive", "--note", "x", "--yes", "--wait", "PT0S", "--json");
        assertThat(result.get("waiting").asInt()).isEqualTo(2);
        assertThat(run("parked", "redrive", "--note", "x", "--yes"))
                .as("somebody has done that by now")
                .isEqualTo(6);
        assertThat(err).contains("2 events are UNDER_WAY");
        assertThat(run("parked", "redrive", "--help")).isZero();
        assertThat(run("--help")).isZero();
        assertThat(out).contains("6   nothing has failed");
    }

    @Test
    void absent_values_are_null_in_json_and_a_dash_for_people() throws SQLException, IOException {
        park("b\u00f6b", State.PARKED, 2);
        JsonNode key = runJson(0, "parked", "list", "--json").get("parkedKeys").get(0);
        assertThat(key.get("nextTry").isNull()).isTrue();
        assertThat(run("parked", "list")).isZero();
        assertThat(out).contains(" - ");
        assertThat(run("parked", "show")).isZero();
        List<String> lines = out.lines().toList();
        assertThat(lines).hasSize(2);
        for (String line : lines) {
            JsonNode event = new ObjectMapper().readTree(line);
            assertThat(event.get("value").isNull()).isTrue();
            assertThat(event.has("valueText")).isFalse();
            assertThat(event.get("keyText").asText()).isEqualTo("b\u00f6b");
        }
        assertThat(out).doesNotContain("\"null\"");
    }

    @Test
    void json_has_texts_as_they_are_and_in_ascii() {
        StringWriter said = new StringWriter();
        new Report().fact("event", "b\u00f6b\n\u202e").fact("none", null).print(new PrintWriter(said), true);
        assertThat(said.toString()).contains("\"b\\u00F6b\\n\\u202E\"").contains("\"none\" : null");
    }
}
