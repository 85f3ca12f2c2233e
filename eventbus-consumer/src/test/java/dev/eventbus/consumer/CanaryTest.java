package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.read.ListAppender;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.metrics.ConsumerMetrics;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.h2.jdbcx.JdbcDataSource;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;
import org.slf4j.LoggerFactory;

/** Keys, payloads, headers and the texts of exceptions have a canary in them, which must not come out of any log line or label. */
@Isolated("reads all that is logged")
class CanaryTest extends SteppedRunner {

    private static final String CANARY = "canary7f3a";
    private static final String KEY = "key-" + CANARY;

    private final Logger root = (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
    private final Level before = root.getLevel();
    private final ListAppender<ILoggingEvent> log = new ListAppender<>();
    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
    private final ConsumerMetrics metrics = ConsumerMetrics.of(registry, "g");
    private final List<RunnerHealth> seen = new ArrayList<>();

    @BeforeEach
    void listen() {
        log.start();
        root.addAppender(log);
        root.setLevel(Level.TRACE);
    }

    @AfterEach
    void stopListening() {
        root.setLevel(before);
        root.detachAppender(log);
    }

    @Test
    void no_key_payload_header_or_text_of_an_exception_comes_out_of_a_log_line_a_label_or_the_health()
            throws SQLException {
        ConsumerRunner runner = build();
        kafka.assign(P0);
        runner.runOnce();
        event("done-1", KEY);
        event("done-1", KEY); // a repeat
        event("fails-1", "fails-" + KEY);
        event("outage-1", "outage-" + KEY);
        event("state-1", "state-" + KEY);
        event("final-1", "final-" + KEY);
        kafka.record(P0, KEY, "no json " + CANARY);
        kafka.record(P0, KEY, "{\"eventId\":\"x1\",\"eventType\":\"FOREIGN\",\"secret\":\"" + CANARY + "\"}");
        kafka.record(P0, KEY, "{\"eventId\":\"x2\",\"eventType\":\"UNKNOWN\",\"secret\":\"" + CANARY + "\"}");
        kafka.record(P0, "another-" + CANARY, MockKafka.json(KEY, "x3")); // the key contradicts the JSON
        kafka.record(P0, KEY, MockKafka.json(KEY, "x4").replace(":1}", ":\"" + CANARY + "\"}"));
        kafka.record(P0, KEY, MockKafka.json(KEY, "x5").replace(":1}", ":1,\"amount\":2,\"" + CANARY + "\":3}"));
        settle(runner);
        assertThat(runner.explain(MockKafka.TOPIC, 0)).isPresent();
        for (int i = 0; i < 12 && runner.health().nextRetry() != null; i++) {
            jump(runner);
        }
        kafka.consumer.failCommitsWith = new RebalanceInProgressException("no commit");
        event("done-2", KEY);
        settle(runner);
        kafka.consumer.failCommitsWith = null;
        runner.close();

        assertThat(letterReasons()).as("the run was what it says").contains("ATTEMPTS_EXHAUSTED", "NOT_RETRYABLE");
        assertThat(log.list).extracting(CanaryTest::text).anyMatch(line -> line.contains("dead-lettered"));
        assertThat(log.list).extracting(CanaryTest::text).noneMatch(CanaryTest::leaks);
        assertThat(registry.getMeters())
                .extracting(meter -> meter.getId().toString())
                .noneMatch(CanaryTest::leaks);
        assertThat(seen).extracting(RunnerHealth::toString).isNotEmpty().noneMatch(CanaryTest::leaks);
    }

    private ConsumerRunner build() throws SQLException {
        JdbcDataSource database = new JdbcDataSource();
        database.setUrl("jdbc:h2:mem:canary;DB_CLOSE_DELAY=-1");
        JdbcInbox inbox = JdbcInbox.h2(database);
        inbox.createTables();
        return ConsumerRunner.builder(kafka, "g")
                .inTransaction(inbox, ASSET, (event, tx) -> {
                    if (event.id().startsWith("fails")) {
                        throw new IllegalStateException("a text with " + CANARY, new SQLException(CANARY, CANARY));
                    }
                    if (event.id().startsWith("outage")) {
                        throw new SQLException("gone, " + CANARY, "08006");
                    }
                    if (event.id().startsWith("state")) {
                        throw new SQLException(CANARY, CANARY);
                    }
                    if (event.id().startsWith("final")) {
                        throw new IllegalArgumentException(CANARY);
                    }
                })
                .classify(
                        failure -> failure instanceof IllegalArgumentException ? FailureKind.FINAL : FailureKind.RETRY)
                .ignoring("FOREIGN")
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .listener(new Talkative())
                .build();
    }

    private void event(String id, String key) {
        ConsumerRecord<byte[], byte[]> record = kafka.record(P0, key, MockKafka.json(key, id));
        record.headers().add("tenant", CANARY.getBytes(UTF_8));
    }

    private static String text(ILoggingEvent line) {
        return line.getFormattedMessage() + " " + line.getMDCPropertyMap() + " "
                + (line.getThrowableProxy() == null ? "" : ThrowableProxyUtil.asString(line.getThrowableProxy()));
    }

    private static boolean leaks(String text) {
        return text.contains(CANARY) || text.contains(HexFormat.of().formatHex(CANARY.getBytes(UTF_8)));
    }

    /** Counts, and then fails with a text of its own. */
    private final class Talkative implements RunnerListener {

        @Override
        public void handled(String eventType, Delivery delivery, Duration took) {
            metrics.handled(eventType, delivery, took);
            throw new IllegalStateException(CANARY);
        }

        @Override
        public void deadLettered(@Nullable String eventType, Delivery delivery, FailureReason reason) {
            metrics.deadLettered(eventType, delivery, reason);
        }

        @Override
        public void skipped(@Nullable String eventType, Delivery delivery) {
            metrics.skipped(eventType, delivery);
        }

        @Override
        public void retried(String eventType, Delivery delivery, Throwable cause, Duration delay) {
            metrics.retried(eventType, delivery, cause, delay);
        }

        @Override
        public void observed(RunnerHealth health) {
            metrics.observed(health);
            seen.add(health);
        }
    }
}
