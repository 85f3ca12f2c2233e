package dev.eventbus.faults;

import static java.util.stream.Collectors.toMap;

import dev.eventbus.faults.check.History;
import dev.eventbus.faults.check.History.Effect;
import dev.eventbus.faults.check.History.Parked;
import dev.eventbus.faults.check.History.Progress;
import dev.eventbus.faults.check.History.Written;
import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.TopicPartition;

/** Sees what the servers hold, without the library. */
final class Witness {

    private static final long ANSWERS_WITHIN_SECONDS = 15;

    private interface Row<T> {
        T read(ResultSet row) throws SQLException;
    }

    private final Servers servers;

    Witness(Servers servers) {
        this.servers = servers;
    }

    /** All of it. */
    History history() throws SQLException, ExecutionException, InterruptedException, TimeoutException {
        try (TopicReader reader = new TopicReader(servers.bootstrapServers());
                Connection connection = servers.connect()) {
            Map<Integer, Progress> offsets = offsets(reader);
            List<String> outbox = rows(connection, WorkloadSql.outbox(), row -> row.getString(1));
            return new History(
                    rows(
                            connection,
                            WorkloadSql.ledger(),
                            row -> new Written(
                                    row.getString(1),
                                    row.getString(2),
                                    row.getLong(3),
                                    row.getString(4),
                                    row.getTimestamp(5).getTime())),
                    reader.topic(),
                    reader.letters(),
                    rows(
                            connection,
                            WorkloadSql.effects(),
                            row -> new Effect(
                                    row.getString(1),
                                    row.getString(2),
                                    row.getLong(3),
                                    row.getLong(4),
                                    row.getString(5),
                                    row.getBoolean(6),
                                    row.getBoolean(7),
                                    row.getTimestamp(8).getTime())),
                    new HashSet<>(outbox),
                    rows(
                            connection,
                            WorkloadSql.parked(),
                            row -> new Parked(
                                    row.getString(1),
                                    row.getBoolean(2),
                                    row.getBoolean(3),
                                    row.getString(4),
                                    row.getBoolean(5))),
                    new HashSet<>(rows(connection, WorkloadSql.givenUp(), row -> row.getString(1))),
                    offsets);
        }
    }

    /** What is left to be done, in words; empty if nothing is. */
    String rest() throws SQLException, ExecutionException, InterruptedException, TimeoutException {
        try (TopicReader reader = new TopicReader(servers.bootstrapServers());
                Connection connection = servers.connect()) {
            long waiting = rows(connection, WorkloadSql.countOutbox(), row -> row.getLong(1))
                    .get(0);
            List<String> blocked = rows(connection, WorkloadSql.blockedKeys(), row -> row.getString(1));
            Map<Integer, Progress> open = offsets(reader);
            open.values().removeIf(progress -> progress.committed() >= progress.end());
            int parked = rows(connection, WorkloadSql.parked(), row -> row.getString(1))
                    .size();
            return waiting == 0 && open.isEmpty() && blocked.isEmpty() && parked == 0
                    ? ""
                    : "%d in the outbox, unhandled by partition %s, blocked keys %s, %d parked"
                            .formatted(waiting, open, blocked, parked);
        }
    }

    /** How many events have been committed. */
    long events() throws SQLException {
        try (Connection connection = servers.connect()) {
            List<Long> count = rows(connection, WorkloadSql.countLedger(), row -> row.getLong(1));
            return count.get(0);
        }
    }

    /** Events that end the process that handles them. */
    List<String> haltingEvents() throws SQLException {
        try (Connection connection = servers.connect()) {
            return rows(connection, WorkloadSql.haltingEvents(), row -> row.getString(1));
        }
    }

    /** Parked events that a person has given up. */
    List<String> givenUp() throws SQLException {
        try (Connection connection = servers.connect()) {
            return rows(connection, WorkloadSql.givenUp(), row -> row.getString(1));
        }
    }

    /** What the database's sessions do and who waits for whom. */
    List<String> sessions() throws SQLException {
        try (Connection connection = servers.connect()) {
            return rows(connection, WorkloadSql.sessions(), row -> row.getString(1));
        }
    }

    private Map<Integer, Progress> offsets(TopicReader reader)
            throws ExecutionException, InterruptedException, TimeoutException {
        Map<TopicPartition, Long> committed;
        try (Admin admin = servers.admin()) {
            committed = committed(admin);
        }
        Map<Integer, Progress> offsets = new HashMap<>();
        reader.ends(TopicReader.partitions())
                .forEach((partition, end) ->
                        offsets.put(partition.partition(), new Progress(committed.getOrDefault(partition, 0L), end)));
        return offsets;
    }

    /** What the group has committed; nothing for a partition of which it has not. */
    static Map<TopicPartition, Long> committed(Admin admin)
            throws ExecutionException, InterruptedException, TimeoutException {
        return admin
                .listConsumerGroupOffsets(ConsumerMain.GROUP)
                .partitionsToOffsetAndMetadata()
                .get(ANSWERS_WITHIN_SECONDS, TimeUnit.SECONDS)
                .entrySet()
                .stream()
                .filter(entry -> entry.getValue() != null)
                .collect(toMap(Map.Entry::getKey, entry -> entry.getValue().offset()));
    }

    /** Which of these events have no effect. */
    List<String> withoutEffect(Collection<String> ids) throws SQLException {
        try (Connection connection = servers.connect();
                PreparedStatement ask = connection.prepareStatement(WorkloadSql.withoutEffect())) {
            Array wanted = connection.createArrayOf("text", ids.toArray());
            ask.setArray(1, wanted);
            try (ResultSet rows = ask.executeQuery()) {
                List<String> found = new ArrayList<>();
                while (rows.next()) {
                    found.add(rows.getString(1));
                }
                return found;
            }
        }
    }

    private static <T> List<T> rows(Connection connection, String sql, Row<T> reader) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(sql)) {
            List<T> all = new ArrayList<>();
            while (rows.next()) {
                all.add(reader.read(rows));
            }
            return all;
        }
    }
}
