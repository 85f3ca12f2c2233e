package dev.eventbus.examples.homestarter;

import static dev.eventbus.examples.homestarter.HomeStarterTopics.CALCULATOR_ASSET;
import static dev.eventbus.examples.homestarter.HomeStarterTopics.CALCULATOR_HOUSING;
import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.EventHeaders;
import dev.eventbus.examples.homestarter.Tally.Change;
import dev.eventbus.examples.homestarter.Tally.Drop;
import dev.eventbus.examples.homestarter.Tally.Rounds;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Predicate;
import java.util.stream.Stream;
import javax.sql.DataSource;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import redis.clients.jedis.RedisClient;

/** Compares what the services' databases say was changed with what the topics and Redis say came of it. */
final class Ledger implements AutoCloseable {

    private static final List<String> GROUPS = List.of(CALCULATOR_ASSET, CALCULATOR_HOUSING);

    private static final Duration RESTS_WITHIN = Duration.ofSeconds(30);

    /**
     * From the change, before it is committed, to the end of its effect.
     *
     * @param longestSilence in which nothing had its effect
     */
    record Latency(long events, long p50Millis, long p99Millis, long maxMillis, long longestSilence) {
        @Override
        public String toString() {
            return "%d events: p50 %d ms, p99 %d ms, max %d ms; longest time without any %d ms"
                    .formatted(events, p50Millis, p99Millis, maxMillis, longestSilence);
        }
    }

    private final Stage stage;
    private final RedisClient redis;
    private final RedisResults results;

    /** How many drops of a group there were when it was set back. Of the thread that acts. */
    private final Map<String, Integer> setBackAt = new HashMap<>();

    Ledger(Stage stage) {
        this.stage = stage;
        this.redis = RedisClient.create(stage.redisUrl());
        this.results = new RedisResults(redis);
    }

    RedisResults results() {
        return results;
    }

    /** What the group does from now on, it does once more. Its instances are stopped. */
    void setBack(String group) {
        setBackAt.put(group, drops(group).size());
    }

    /** How many changes a group has to handle once more. */
    long published(String group) throws SQLException {
        return changes().values().stream()
                .filter(change -> change.group().equals(group))
                .count();
    }

    /** Whether every change had its effect, and once more where a group was set back. */
    boolean isHandled() throws SQLException {
        Map<String, Change> changes = changes();
        for (String group : GROUPS) {
            Set<String> handled = Tally.idsOf(lastRound(group));
            if (!changes.entrySet().stream()
                    .filter(change -> change.getValue().group().equals(group))
                    .allMatch(change -> handled.contains(change.getKey()))) {
                return false;
            }
        }
        return true;
    }

    /** Of the changes since. */
    Latency latencySince(long millis) throws SQLException {
        Map<String, Change> changes = changes();
        List<Long> latencies = new ArrayList<>();
        List<Long> times = new ArrayList<>();
        for (String group : GROUPS) {
            for (Drop drop : drops(group)) {
                Change change = changes.get(drop.eventId());
                if (change != null && change.atMillis() >= millis) {
                    latencies.add(Math.max(0, drop.atMillis() - change.atMillis()));
                    times.add(drop.atMillis());
                }
            }
        }
        Collections.sort(latencies);
        Collections.sort(times);
        long silence = 0;
        for (int i = 1; i < times.size(); i++) {
            silence = Math.max(silence, times.get(i) - times.get(i - 1));
        }
        return new Latency(
                latencies.size(),
                percentile(latencies, 50),
                percentile(latencies, 99),
                percentile(latencies, 100),
                silence);
    }

    /** As {@link #tally()}, but what is under way is waited for: only what is missing then is lost. */
    Tally tallyAtRest() throws SQLException {
        long deadline = System.nanoTime() + RESTS_WITHIN.toNanos();
        Tally tally = tally();
        while (tally.lost() > 0 && System.nanoTime() - deadline < 0) {
            LockSupport.parkNanos(Duration.ofMillis(200).toNanos());
            tally = tally();
        }
        return tally;
    }

    Tally tally() throws SQLException {
        List<ConsumerRecord<byte[], byte[]>> records = Stream.of(
                        Events.ASSET_UPDATED.topic(), Events.HOUSING_UPDATED.topic())
                .flatMap(topic -> Topic.readAll(stage.kafka(), topic).stream())
                .toList();
        return Tally.of(
                changes(),
                ids(records, record -> true),
                ids(records, record -> record.headers().lastHeader("eventbus-redrive-group") != null),
                ids(Topic.readAll(stage.kafka(), HomeStarterTopics.DEAD_LETTERS), record -> true),
                GROUPS.stream()
                        .map(group -> new Rounds(
                                firstRound(group), setBackAt.containsKey(group) ? lastRound(group) : List.of()))
                        .toList());
    }

    private List<Drop> firstRound(String group) {
        List<Drop> all = drops(group);
        return all.subList(0, setBackAt.getOrDefault(group, all.size()));
    }

    private List<Drop> lastRound(String group) {
        List<Drop> all = drops(group);
        return all.subList(setBackAt.getOrDefault(group, 0), all.size());
    }

    private List<Drop> drops(String group) {
        List<Drop> drops = new ArrayList<>();
        for (String drop : results.dropped(group)) {
            int space = drop.lastIndexOf(' ');
            drops.add(new Drop(drop.substring(0, space), Long.parseLong(drop.substring(space + 1))));
        }
        return drops;
    }

    /** By event id. */
    private Map<String, Change> changes() throws SQLException {
        Map<String, Change> changes = new HashMap<>();
        read(stage.assets().database(), "SELECT * FROM asset_change", CALCULATOR_ASSET, changes);
        read(stage.housing().database(), "SELECT * FROM housing_change", CALCULATOR_HOUSING, changes);
        return changes;
    }

    private static void read(DataSource database, String sql, String group, Map<String, Change> changes)
            throws SQLException {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(sql)) {
            while (rows.next()) {
                changes.put(
                        rows.getString("event_id"),
                        new Change(
                                group,
                                rows.getString("user_id"),
                                rows.getLong("revision"),
                                rows.getTimestamp("changed_at").getTime()));
            }
        }
    }

    private static Set<String> ids(
            List<ConsumerRecord<byte[], byte[]>> records, Predicate<ConsumerRecord<byte[], byte[]>> wanted) {
        Set<String> ids = new HashSet<>();
        for (ConsumerRecord<byte[], byte[]> record : records) {
            Header id = record.headers().lastHeader(EventHeaders.ID);
            if (id != null && wanted.test(record)) {
                ids.add(new String(id.value(), UTF_8));
            }
        }
        return ids;
    }

    private static long percentile(List<Long> sorted, int percent) {
        int rank = (int) Math.ceil(sorted.size() * percent / 100.0);
        return sorted.isEmpty() ? 0 : sorted.get(Math.max(0, rank - 1));
    }

    @Override
    public void close() {
        redis.close();
    }
}
