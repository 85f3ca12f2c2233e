package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.read.ListAppender;
import dev.eventbus.EventBusException;
import dev.eventbus.outbox.metrics.OutboxMetrics;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TimeoutException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;
import org.slf4j.LoggerFactory;

/** S-09: keys, payloads, headers and what the database says have a canary in them, which must not come out of a log line, a label, a health or an exception. */
@Isolated("reads all that is logged")
class OutboxCanaryTest {

    private static final String CANARY = "canary7f3a";
    private static final String KEY = "key-" + CANARY;

    private final Logger root = (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
    private final Level before = root.getLevel();
    private final ListAppender<ILoggingEvent> log = new ListAppender<>();
    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final List<String> told = new ArrayList<>();

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
    void no_key_payload_header_or_text_of_the_database_comes_out() throws SQLException {
        OutboxAdmin quiet = OutboxAdmin.of(database.outbox, database.dataSource);
        OutboxMetrics metrics = OutboxMetrics.of(registry, "assets", quiet);
        OutboxRelay relay = OutboxRelay.builder(database.outbox, database.dataSource, kafka)
                .listener(metrics)
                .build();
        kafka.refusal = id -> id.equals("poison") ? new RecordTooLargeException("too large") : null;
        database.publish(
                event("evt-1", KEY).withHeader("tenant", CANARY),
                event("poison", KEY).withHeader("tenant", CANARY),
                event("behind", KEY),
                event("odd", "odd-" + CANARY));
        database.update("UPDATE \"eventbus_outbox\" SET headers = '[\"" + CANARY + "' WHERE id = 'odd'");
        relay.runOnce();
        told.add(relay.health().toString());
        kafka.unreachable = new TimeoutException("Topic asset.events not present in metadata after 0 ms.");
        database.publish(event("waits", "other-" + CANARY));
        for (int i = 0; i < 12; i++) {
            kafka.advance(Duration.ofMillis(500));
            relay.runOnce();
        }
        told.add(relay.health().toString());

        OutboxAdmin admin = quiet.listener(metrics);
        told.add(admin.stats().toString());
        told.add(admin.blocked().toString());
        assertThat(admin.blocked()).as("the run was what it says").hasSize(2);
        assertThat(admin.discard("odd", "tried").id()).isEqualTo("odd");
        assertThat(admin.unblock("asset.events", KEY)).isTrue();
        relay.close(Duration.ofSeconds(2));

        refusals();
        assertThat(log.list).extracting(OutboxCanaryTest::text).anyMatch(line -> line.contains("poison"));
        assertThat(log.list).extracting(OutboxCanaryTest::text).noneMatch(OutboxCanaryTest::leaks);
        assertThat(told).hasSize(9).noneMatch(OutboxCanaryTest::leaks);
        assertThat(registry.getMeters())
                .isNotEmpty()
                .extracting(meter -> meter.getId().toString())
                .noneMatch(OutboxCanaryTest::leaks);
    }

    private void refusals() throws SQLException {
        database.update("DELETE FROM \"eventbus_outbox\"");
        database.update("ALTER TABLE \"eventbus_outbox\" ADD CONSTRAINT short CHECK (length(aggregateid) < 5)");
        try (Connection tx = database.begin()) {
            refused(() -> database.outbox.within(tx).publish(event("evt-2", KEY)));
            refused(() -> database.outbox.within(tx).publish(event("evt-3", KEY.repeat(30))));
            refused(() -> database.outbox.within(tx).publish(event("evt-4", KEY).withHeader("id", CANARY)));
            refused(() -> database.outbox.within(tx).publish(event("evt-5", KEY).withHeader("x", CANARY + "\ud800")));
            refused(() -> database.outbox.within(tx).lockKeys(KEY, " "));
        }
    }

    private void refused(Runnable call) {
        StringWriter trace = new StringWriter();
        catchThrowableOfType(EventBusException.class, call::run).printStackTrace(new PrintWriter(trace));
        told.add(trace.toString());
    }

    private static String text(ILoggingEvent line) {
        return line.getFormattedMessage() + " " + line.getMDCPropertyMap() + " "
                + (line.getThrowableProxy() == null ? "" : ThrowableProxyUtil.asString(line.getThrowableProxy()));
    }

    private static boolean leaks(String text) {
        return text.contains(CANARY) || text.contains(HexFormat.of().formatHex(CANARY.getBytes(UTF_8)));
    }
}
