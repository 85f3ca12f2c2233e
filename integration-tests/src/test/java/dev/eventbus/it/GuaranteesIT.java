package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static dev.eventbus.testkit.guarantees.Guarantee.effectivelyOnce;
import static dev.eventbus.testkit.guarantees.Guarantee.noLoss;
import static dev.eventbus.testkit.guarantees.Guarantee.perKeyOrder;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.junit.EventBusServers;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.testkit.guarantees.History;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Objects;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

// region: servers
/** A user's integration test: from a commit to its effect, on the servers that one annotation gives it. */
@EventBusServers
class GuaranteesIT {

    private static final int EVENTS = 60;

    @Test
    @Timeout(60)
    void every_committed_event_is_booked_once_and_in_order(KafkaServer server, DataSource database) throws Exception {
        String mine = server.uniqueName("booking");
        KafkaCluster kafka = KafkaCluster.at(server.bootstrapServers()).topicPrefix(mine + ".");
        Topics.of(kafka, onOneBroker("asset.events"), onOneBroker("dlq.events")).provision();
        JdbcOutbox outbox = JdbcOutbox.postgres();
        outbox.createTables(database);
        JdbcInbox.createTables(database);
        createBookings(database);

        History history = new History();
        try (OutboxRelay relay = OutboxRelay.builder(outbox, database, kafka).build();
                ConsumerRunner runner = booking(kafka, mine, JdbcInbox.postgres(database))) {
            relay.start();
            runner.start();
            for (int n = 0; n < EVENTS; n++) {
                String user = "user-" + n % 7;
                history.published(user, publish(outbox, database, AssetUpdated.amount(user, n)));
            }
            Eventually.holds(() -> rowsInto(new History(), database) >= EVENTS, runner::health);
        }
        rowsInto(history, database);
        assertThat(history.violations(noLoss(), perKeyOrder(), effectivelyOnce()))
                .isEmpty();
    }

    private static ConsumerRunner booking(KafkaCluster kafka, String group, JdbcInbox inbox) {
        return ConsumerRunner.builder(kafka, group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    if (tx.attempt() == 1
                            && Objects.requireNonNull(event.payload().newAmount()) % 20 == 3) {
                        throw new IllegalStateException("try again");
                    }
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO booked (owner, event) VALUES (?, ?)")) {
                        insert.setString(1, event.key());
                        insert.setString(2, event.id());
                        insert.executeUpdate();
                    }
                })
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    private static String publish(JdbcOutbox outbox, DataSource database, AssetUpdated payload) throws SQLException {
        try (Connection tx = database.getConnection()) {
            tx.setAutoCommit(false);
            String id = outbox.within(tx).publish(ASSET_UPDATED, payload);
            tx.commit();
            return id;
        }
    }

    private static TopicSpec onOneBroker(String name) {
        return TopicSpec.of(name, 3).replicationFactor(1).minInsyncReplicas(1);
    }

    private static void createBookings(DataSource database) throws SQLException {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute(
                    "CREATE TABLE booked (line bigint GENERATED ALWAYS AS IDENTITY, owner varchar(40), event varchar(40))");
        }
    }

    /** Tells the committed rows in their order; how many. */
    private static int rowsInto(History history, DataSource database) throws SQLException {
        int count = 0;
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT owner, event FROM booked ORDER BY line")) {
            while (rows.next()) {
                history.handled(rows.getString(1), rows.getString(2));
                count++;
            }
        }
        return count;
    }
}
// end: servers
