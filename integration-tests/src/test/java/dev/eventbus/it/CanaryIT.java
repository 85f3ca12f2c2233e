package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.AppenderBase;
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.Event;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.retry.RetryConfig;
import java.lang.management.ManagementFactory;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import javax.management.JMException;
import javax.management.MBeanAttributeInfo;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;
import org.slf4j.LoggerFactory;

/**
 * S-07 and S-09 with the real drivers, at TRACE: no secret comes out of anybody's log, and nothing of an event out of ours. What drivers tell of
 * values at that level is theirs to say and to be switched off.
 */
@ExtendWith(ServersExtension.class)
@Isolated("reads all that is logged")
class CanaryIT {

    private static final String SECRET = "S3CR3T-9d41";
    private static final String CANARY = "canary7f3a";

    private final Logger root = (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
    private final Level before = root.getLevel();
    private final Leaks leaks = new Leaks();
    private final List<String> told = new ArrayList<>();

    /** Looks at each line as it comes: at TRACE there are too many to keep. */
    private static final class Leaks extends AppenderBase<ILoggingEvent> {

        private final Queue<String> found = new ConcurrentLinkedQueue<>();
        private final AtomicInteger ours = new AtomicInteger();
        private final AtomicInteger others = new AtomicInteger();

        @Override
        protected void append(ILoggingEvent line) {
            String text = line.getFormattedMessage() + " " + line.getMDCPropertyMap() + " "
                    + (line.getThrowableProxy() == null ? "" : ThrowableProxyUtil.asString(line.getThrowableProxy()));
            boolean isOurs = line.getLoggerName().startsWith("dev.eventbus")
                    && !line.getLoggerName().startsWith("dev.eventbus.embedded");
            (isOurs ? ours : others).incrementAndGet();
            if (text.contains(SECRET) || isOurs && isPersonal(text)) {
                found.add(line.getLoggerName() + ": " + text);
            }
        }
    }

    private static boolean isPersonal(String text) {
        return text.contains(CANARY) || text.contains(HexFormat.of().formatHex(CANARY.getBytes(UTF_8)));
    }

    @BeforeEach
    void listen() {
        leaks.start();
        root.addAppender(leaks);
        root.setLevel(Level.TRACE);
        ((Logger) LoggerFactory.getLogger("dev.eventbus")).setLevel(Level.TRACE);
        ((Logger) LoggerFactory.getLogger("org.apache.kafka")).setLevel(Level.TRACE);
    }

    @AfterEach
    void stopListening() {
        root.setLevel(before);
        ((Logger) LoggerFactory.getLogger("dev.eventbus")).setLevel(null);
        ((Logger) LoggerFactory.getLogger("org.apache.kafka")).setLevel(null);
        root.detachAppender(leaks);
    }

    private static KafkaCluster cluster(EmbeddedKafka broker, String password) {
        return KafkaCluster.of(Map.of(
                "bootstrap.servers",
                broker.bootstrapServers(),
                "security.protocol",
                "SASL_PLAINTEXT",
                "sasl.mechanism",
                "SCRAM-SHA-512",
                "sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"app\" password=\"%s\";"
                        .formatted(password)));
    }

    /** One who logs in with a secret, which stands in the address too. */
    private static HikariDataSource database(Scene scene, String role, String password) {
        HikariConfig pool = new HikariConfig();
        String url = scene.database().getJdbcUrl();
        pool.setJdbcUrl(url + (url.contains("?") ? "&" : "?") + "user=" + role + "&password=" + password);
        pool.setMaximumPoolSize(8);
        pool.setMinimumIdle(0);
        pool.setConnectionTimeout(2_000);
        pool.setInitializationFailTimeout(-1);
        return new HikariDataSource(pool);
    }

    @Test
    void S_07_S_09_at_TRACE_no_secret_leaves_any_log_and_no_key_payload_header_or_text_of_an_error_leaves_ours(
            PostgresServer postgres) throws Exception {
        try (EmbeddedKafka broker =
                        EmbeddedKafka.builder().scramUser("app", SECRET).start();
                Scene scene = Scene.create(
                        cluster(broker, SECRET),
                        postgres.uniqueName("canary"),
                        postgres,
                        "asset.events:1",
                        "dlq.events:1")) {
            String role = postgres.uniqueName("canary");
            scene.execute("CREATE ROLE %s LOGIN SUPERUSER PASSWORD '%s'".formatted(role, SECRET));
            scene.execute("CREATE TABLE effect (id varchar(5))");
            try (HikariDataSource database = database(scene, role, SECRET)) {
                goThroughAll(scene, database);
            }
            mistakes(scene, broker, role);
        }
        assertThat(leaks.found).isEmpty();
        assertThat(told).isNotEmpty().noneMatch(text -> text.contains(SECRET) || isPersonal(text));
        assertThat(leaks.ours.get()).as("lines of ours").isGreaterThan(10);
        assertThat(leaks.others.get()).as("lines of drivers, at TRACE").isGreaterThan(1_000);
    }

    private void goThroughAll(Scene scene, HikariDataSource database) throws SQLException {
        for (String id : List.of("done", "fails", "state", "outage", "behind")) {
            publish(scene, database, id);
        }
        scene.sendRaw("asset.events", "key-" + CANARY, "no json " + CANARY);
        scene.sendRaw(
                "asset.events",
                "key-" + CANARY,
                "{\"eventId\":\"x\",\"eventType\":\"FOREIGN\",\"secret\":\"" + CANARY + "\"}");
        scene.flush();
        JdbcInbox inbox = JdbcInbox.postgres(database);
        String group = scene.group("ledger");
        try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), database, scene.kafka())
                        .build();
                ConsumerRunner runner = runner(scene, inbox, group)) {
            relay.start();
            runner.start();
            Eventually.holds(() -> runner.health().parked().events() >= 2, runner::health);
            Eventually.holds(() -> scene.records("dlq.events").size() >= 4, runner::health);
            told.add(runner.health() + " " + relay.health() + " "
                    + runner.explain(scene.kafka().physicalTopic("asset.events"), 0));
            told.add(
                    Redrive.of(scene.kafka(), group, "dlq.events", inbox).plan().toString());
            told.add(Redrive.of(scene.kafka(), group, "dlq.events", inbox)
                    .plan()
                    .run("once more")
                    .toString());
            told.add(inbox.parking().load(group).toString());
            lookThroughMBeans();
        }
    }

    /** Those of Kafka's clients are there as long as the clients are. */
    private void lookThroughMBeans() {
        MBeanServer beans = ManagementFactory.getPlatformMBeanServer();
        int before = told.size();
        for (ObjectName name : beans.queryNames(null, null)) {
            try {
                for (MBeanAttributeInfo attribute : beans.getMBeanInfo(name).getAttributes()) {
                    told.add(name + " " + attribute.getName() + "=" + valueOf(beans, name, attribute));
                }
            } catch (JMException e) {
                told.add(name + " " + e); // it has gone meanwhile
            }
        }
        assertThat(told.subList(before, told.size()))
                .anyMatch(text -> text.startsWith("kafka.producer:"))
                .anyMatch(text -> text.startsWith("kafka.consumer:"));
    }

    private static String valueOf(MBeanServer beans, ObjectName name, MBeanAttributeInfo attribute) {
        try {
            Object value = beans.getAttribute(name, attribute.getName());
            return value instanceof Object[] many ? Arrays.deepToString(many) : String.valueOf(value);
        } catch (JMException | RuntimeException e) { // not every JVM has each of them
            return e.toString();
        }
    }

    private static void publish(Scene scene, HikariDataSource database, String id) throws SQLException {
        try (Connection tx = database.getConnection()) {
            tx.setAutoCommit(false);
            AssetUpdated payload = new AssetUpdated(id + "-" + CANARY, CANARY, "SELF", "ASSET", CANARY, null, 1L, null);
            scene.outbox()
                    .within(tx)
                    .publish(Event.of(ASSET_UPDATED, id, Instant.EPOCH, payload).withHeader("tenant", CANARY));
            tx.commit();
        }
    }

    private static ConsumerRunner runner(Scene scene, JdbcInbox inbox, String group) {
        AtomicInteger outages = new AtomicInteger(3);
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    switch (event.id()) {
                        case "fails" ->
                            throw new IllegalStateException("a text with " + CANARY, new SQLException(CANARY, CANARY));
                        case "state" -> {
                            try (Statement tooLong = tx.connection().createStatement()) { // the driver's own words
                                tooLong.execute("INSERT INTO effect VALUES ('" + event.key() + "')");
                            }
                        }
                        case "outage" -> {
                            if (outages.getAndDecrement() > 0) {
                                throw new SQLException("gone, " + CANARY, "08006");
                            }
                        }
                        default -> {}
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> 10L)
                        .build())
                .afterRetries(AfterRetries.parkKey(inbox, "dlq.events"))
                .build();
    }

    /** Wrong passwords, at the broker and at the database. */
    private void mistakes(Scene scene, EmbeddedKafka broker, String role) {
        KafkaCluster wrong = cluster(broker, SECRET + "-wrong").topicPrefix("wrong.");
        try (HikariDataSource locked = database(scene, role, SECRET + "-wrong");
                OutboxRelay blind = OutboxRelay.builder(scene.outbox(), scene.database(), wrong)
                        .build();
                OutboxRelay deaf = OutboxRelay.builder(scene.outbox(), locked, scene.kafka())
                        .build()) {
            publishOne(scene);
            blind.start();
            Eventually.holds(() -> !blind.health().problems().isEmpty(), blind::health);
            told.add(blind.health().toString());
            told.add(refusal(deaf));
        }
    }

    private static void publishOne(Scene scene) {
        try {
            scene.inTransaction(
                    tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("key-" + CANARY, 1)));
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String refusal(OutboxRelay relay) {
        try {
            relay.start();
            Eventually.holds(() -> !relay.health().problems().isEmpty(), relay::health);
            return relay.health().toString();
        } catch (StartRefusedException e) {
            return e.getMessage();
        }
    }
}
