package dev.eventbus.testkit;

import static dev.eventbus.testkit.Calculator.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.eventbus.DecodeException;
import dev.eventbus.Event;
import dev.eventbus.EventBusException;
import dev.eventbus.EventDecoder;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.deadletter.DeadLetterSink;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.internal.AtWork;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.testkit.Calculator.AssetUpdated;
import dev.eventbus.topics.TopicSpec;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import javax.sql.DataSource;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.h2.jdbcx.JdbcConnectionPool;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * What people read when publishing, relaying or consuming goes wrong, word for word: a change of a message is seen and meant. Those of Kafka and
 * its settings are held by eventbus-core.
 */
class ErrorTextsTest {

    private static final Instant NOW = Instant.parse("2030-01-01T00:00:00Z");

    /** Its name stands in a text. It is there while the pool is. */
    private final JdbcConnectionPool database = JdbcConnectionPool.create("jdbc:h2:mem:error_texts", "sa", "");

    private final JdbcOutbox outbox = JdbcOutbox.h2();
    private final FakeEventBus bus = FakeEventBus.create();
    private final List<String> texts = new ArrayList<>();

    @AfterEach
    void close() {
        bus.close();
        database.dispose();
    }

    @Test
    void messages_are_as_they_were_agreed_on() throws Exception {
        ofTables();
        outbox.createTables(database);
        JdbcInbox.createTables(database);
        ofPublishing();
        ofRelaying();
        ofDebezium();
        ofConsuming();

        String messages = String.join("\n\n", texts) + "\n";
        Path made = Path.of("target", "messages.txt");
        Files.writeString(made, messages);
        try (InputStream golden = ErrorTextsTest.class.getResourceAsStream("/golden/errors/messages.txt")) {
            assertThat(golden).isNotNull();
            assertThat(new String(golden.readAllBytes(), UTF_8))
                    .as("if the change is meant, copy eventbus-testkit/%s to golden/errors", made)
                    .isEqualTo(messages);
        }
    }

    private void ofTables() throws SQLException {
        try (Connection connection = database.getConnection()) {
            refused(() -> outbox.verify(connection));
        }
        refused(() -> JdbcInbox.h2(database).verify());
    }

    private void ofPublishing() throws SQLException {
        Event<AssetUpdated> event = Event.of(ASSET_UPDATED, "evt-1", NOW, new AssetUpdated("bob", 1));
        try (Connection tx = database.getConnection()) {
            refused(() -> outbox.within(tx).publish(event));
            refused(() -> outbox.within(tx).lockKeys("bob", "alice"));
            tx.setAutoCommit(false);
            refused(() -> outbox.maxEventBytes(10).within(tx).publish(event));
            refused(() -> outbox.topics(TopicSpec.of("asset.events", 1).maxMessageBytes(1024))
                    .within(tx)
                    .publish(event.withHeader("tenant", "x".repeat(900))));
            refused(() -> outbox.joining(work -> {}).publish(event));
            refused(() -> outbox.joining(work -> {
                        work.accept(tx);
                        work.accept(tx);
                    })
                    .publish(event));
            tx.rollback();
            tx.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            refused(() -> outbox.within(tx).lockKeys("alice"));
            tx.rollback();
            tx.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            try (Statement statement =
                    tx.createStatement()) { // as if this transaction had locked others: H2 does not tell
                statement.executeUpdate("DELETE FROM \"eventbus_key_lock\"");
            }
            refused(() -> outbox.within(tx).lockKeys("alice"));
            tx.rollback();
            refused(() -> outbox.table("absent").within(tx).publish(event));
            tx.close();
            refused(() -> outbox.within(tx).publish(event));
        }
    }

    private void ofRelaying() throws SQLException {
        TopicSpec compacted = TopicSpec.of("asset.events", 3).compactedAfter(Duration.ofDays(30));
        refused(() -> OutboxRelay.builder(outbox.topics(compacted), database, bus.kafka())
                .build());
        refused(() -> OutboxAdmin.of(outbox, database).adoptPartitions(bus.kafka(), "asset.events", Duration.ZERO));

        OutboxRelay relay =
                bus.start(OutboxRelay.builder(outbox, database, bus.kafka()).build());
        publish("evt-2");
        bus.runUntilIdle();
        bus.topic("asset.events", 6);
        run("UPDATE \"eventbus_meta\" SET \"value\" = '3>6 token' WHERE name LIKE 'partitions.%'");
        bus.runUntil("the relay to wait for the adoption", () -> {
            publish("evt-" + UUID.randomUUID());
            return !relay.health().problems().isEmpty();
        });
        texts.addAll(relay.health().problems());
        relay.close();
    }

    private void ofDebezium() throws SQLException {
        JdbcOutbox debeziums = JdbcOutbox.postgres().relayedByDebezium();
        try (Connection tx = database.getConnection()) {
            tx.setAutoCommit(false);
            refused(() -> debeziums
                    .within(tx)
                    .publish(Event.of(ASSET_UPDATED, "evt-1", NOW, new AssetUpdated("bob", 1))
                            .withHeader("tenant", "eu")));
        }
        refused(() -> OutboxRelay.builder(debeziums, database, bus.kafka()).build());
        refused(() -> debeziums
                .topics(TopicSpec.of("asset.events", 3).compactedAfter(Duration.ofDays(30)))
                .debeziumConnector(bus.kafka(), "ledger"));
        refused(() -> outbox.debeziumConnector(bus.kafka(), "ledger"));
        refused(outbox::relayedByDebezium);
    }

    private void publish(String id) {
        try (Connection tx = database.getConnection()) {
            tx.setAutoCommit(false);
            outbox.within(tx).publish(Event.of(ASSET_UPDATED, id, NOW, new AssetUpdated("bob", 1)));
            tx.commit();
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    private void ofConsuming() throws SQLException {
        refused(() -> ConsumerRunner.builder(bus.kafka(), "ledger")
                .on(ASSET_UPDATED, (event, delivery) -> {})
                .on(ASSET_UPDATED, (event, delivery) -> {})
                .build());
        ConsumerRecord<byte[], byte[]> record =
                new ConsumerRecord<>("asset.events", 0, 7, "bob".getBytes(UTF_8), "{\"eventId\"".getBytes(UTF_8));
        EventDecoder decoder = new EventDecoder(List.of(ASSET_UPDATED), topic -> topic);
        DecodeException unreadable = catchThrowableOfType(DecodeException.class, () -> decoder.decode(record));
        texts.add("%s, in a dead letter: %s: %s"
                .formatted(unreadable.code().id(), unreadable.reason(), unreadable.getMessage()));

        bus.faults().failTimes(1).forSendsTo("dlq.events");
        try (DeadLetterSink sink = new DeadLetterSink(bus.kafka(), "dlq.events")) {
            refused(() -> sink.send(record, Origin.of(record, "ledger", FailureReason.MALFORMED_JSON, NOW))
                    .toCompletableFuture()
                    .join());
        }
        AtWork atWork = new AtWork();
        atWork.begins(record);
        assertThat(atWork.look(NOW)).isNull();
        texts.add(atWork.look(NOW.plusSeconds(61)));
        texts.add(endingItsTransaction(database));
    }

    /** Why a partition is stopped whose handler has committed by itself. */
    private String endingItsTransaction(DataSource h2) {
        List<String> stopped = new ArrayList<>();
        bus.start(ConsumerRunner.builder(bus.kafka(), "ledger")
                .inTransaction(JdbcInbox.h2(h2), ASSET_UPDATED, (event, tx) -> {
                    try (Statement statement = tx.connection().createStatement()) {
                        statement.execute("EXECUTE IMMEDIATE 'COMMIT'"); // which nobody can see beforehand
                    }
                })
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .listener(new RunnerListener() {
                    @Override
                    public void partitionStopped(String topic, int partition, String why) {
                        stopped.add(why);
                    }
                })
                .build());
        bus.runUntil("its partition to be stopped", () -> !stopped.isEmpty());
        return stopped.get(0).replaceFirst("^.*?(?=EB-)", "");
    }

    private void run(String sql) throws SQLException {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.executeUpdate(sql);
        }
    }

    /** Also if it is the cause of what is thrown. */
    private void refused(ThrowingCallable call) {
        String text = "nothing was refused";
        for (Throwable said = catchThrowable(call); said != null; said = said.getCause()) {
            if (said instanceof EventBusException refusal) {
                text = refusal.getMessage();
                break;
            }
        }
        assertThat(text).startsWith("EB-");
        texts.add(text);
    }
}
