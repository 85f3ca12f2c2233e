package dev.eventbus.examples.quickstart;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.EventHeaders;
import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.HashSet;
import java.util.Set;
import javax.sql.DataSource;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/**
 * What came of it all, from the database and the topics, not from what the program believes.
 *
 * @param published changes that were committed
 * @param handled of these, with an effect
 * @param deadLettered of these, with a letter in the dead-letter topic
 * @param redriven events that came back to their group after they had been set aside, as the audit says
 * @param waiting of these without an effect, those that a letter or a parked row has
 * @param lost changes without a record in their topic, or with neither an effect nor a letter nor a parked row
 * @param doubled effects beyond the first of an event, and effects of dead-lettered events if nobody redrove any
 * @param reordered effects that came after the effect of a later change of the same user
 */
record Tally(
        long published,
        long handled,
        long deadLettered,
        long redriven,
        long waiting,
        long lost,
        long doubled,
        long reordered) {

    static Tally take(DataSource dataSource, KafkaCluster kafka) throws SQLException {
        Set<String> sent = idsIn(kafka, Events.ASSET_UPDATED.topic());
        sent.addAll(idsIn(kafka, Events.HOUSING_UPDATED.topic()));
        Set<String> letters = idsIn(kafka, Events.DEAD_LETTERS);
        try (Connection connection = dataSource.getConnection()) {
            Set<String> changed = ids(connection, "SELECT event_id FROM change");
            Set<String> effects = ids(connection, "SELECT event_id FROM effect");
            Set<String> aside = ids(connection, "SELECT event_id FROM eventbus_parked_event");
            aside.addAll(letters);
            long redriven = count(connection, "SELECT COALESCE(sum(done), 0) FROM eventbus_redrive");
            long handled = changed.stream().filter(effects::contains).count();
            long waiting = changed.stream()
                    .filter(id -> aside.contains(id) && !effects.contains(id))
                    .count();
            long unsent = changed.stream().filter(id -> !sent.contains(id)).count();
            long repeats = count(connection, "SELECT count(*) - count(DISTINCT (topic, event_id)) FROM effect");
            long both = effects.stream().filter(letters::contains).count();
            return new Tally(
                    changed.size(),
                    handled,
                    changed.stream().filter(letters::contains).count(),
                    redriven,
                    waiting,
                    unsent + changed.size() - handled - waiting,
                    repeats + (redriven == 0 ? both : 0),
                    count(connection, """
                            SELECT count(*) FROM (
                              SELECT c.n - max(c.n) OVER (PARTITION BY c.topic, c.user_id ORDER BY e.ord
                                                          ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS step
                              FROM effect e JOIN change c ON c.event_id = e.event_id) AS steps
                            WHERE step < 0"""));
        }
    }

    /** Whether every published event has been handled or waits for a person. */
    boolean isSettled() {
        return published == handled + waiting;
    }

    boolean isHandled() {
        return published == handled;
    }

    boolean isGood() {
        return lost == 0 && doubled == 0 && reordered == 0;
    }

    @Override
    public String toString() {
        return "published %d · handled %d · dead-lettered %d · redriven %d · lost %d · doubled %d · reordered %d"
                .formatted(published, handled, deadLettered, redriven, lost, doubled, reordered);
    }

    private static Set<String> idsIn(KafkaCluster kafka, String topic) {
        Set<String> ids = new HashSet<>();
        for (ConsumerRecord<byte[], byte[]> record : Topic.readAll(kafka, topic)) {
            Header id = record.headers().lastHeader(EventHeaders.ID);
            ids.add(id == null ? "" : new String(id.value(), UTF_8));
        }
        return ids;
    }

    private static Set<String> ids(Connection connection, String sql) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql);
                ResultSet rows = statement.executeQuery()) {
            Set<String> ids = new HashSet<>();
            while (rows.next()) {
                ids.add(rows.getString(1));
            }
            return ids;
        }
    }

    private static long count(Connection connection, String sql) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql);
                ResultSet rows = statement.executeQuery()) {
            rows.next();
            return rows.getLong(1);
        }
    }
}
