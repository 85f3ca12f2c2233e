package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.Event;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.JdbcOutbox;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import javax.sql.DataSource;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/**
 * Writers that do what an application should: each transaction locks the user's row before it publishes, so publish order is
 * commit order. Some users are asked for far more often than others, and some transactions take their time to commit, so that
 * sequence numbers become visible out of order all the time. An event's id is the user and the count that was in its row.
 */
final class SerialisedWriters {

    /** How long a load lasts; raised where there is time for more. */
    static final Duration LOAD = Duration.ofSeconds(Long.getLong("eventbus.it.load.seconds", 5));

    private static final int WRITERS = 8;
    private static final int USERS = 200;

    private final DataSource database;
    private final JdbcOutbox outbox;

    private SerialisedWriters(DataSource database, JdbcOutbox outbox) {
        this.database = database;
        this.outbox = outbox;
    }

    static SerialisedWriters on(DataSource database, JdbcOutbox outbox) throws SQLException {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            connection.setAutoCommit(false);
            statement.execute("CREATE TABLE account (id varchar(40) PRIMARY KEY, n bigint NOT NULL)");
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO account VALUES (?, 0)")) {
                for (int user = 0; user < USERS; user++) {
                    insert.setString(1, "user-" + user);
                    insert.addBatch();
                }
                insert.executeBatch();
            }
            connection.commit();
        }
        return new SerialisedWriters(database, outbox);
    }

    /** Writes for as long as a load lasts. Returns how many events were committed. */
    long write() throws Exception {
        return write(LOAD);
    }

    long write(Duration load) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(WRITERS);
        try {
            long end = System.nanoTime() + load.toNanos();
            List<Future<Long>> writers = new ArrayList<>();
            for (int i = 0; i < WRITERS; i++) {
                SplittableRandom random = new SplittableRandom(i);
                writers.add(threads.submit(() -> {
                    long committed = 0;
                    for (; System.nanoTime() < end; committed++) {
                        writeOne(random);
                    }
                    return committed;
                }));
            }
            long committed = 0;
            for (Future<Long> writer : writers) {
                committed += writer.get();
            }
            return committed;
        } finally {
            threads.shutdownNow();
            threads.awaitTermination(10, TimeUnit.SECONDS);
        }
    }

    private void writeOne(SplittableRandom random) throws SQLException {
        String user = "user-" + (random.nextInt(4) == 0 ? 0 : random.nextInt(USERS));
        try (Connection tx = database.getConnection()) {
            tx.setAutoCommit(false);
            outbox.within(tx).publish(event(user, next(tx, user)));
            if (random.nextInt(50) == 0) {
                LockSupport.parkNanos(random.nextLong(1_000_000, 50_000_000));
            }
            tx.commit();
        }
    }

    private static long next(Connection tx, String user) throws SQLException {
        try (PreparedStatement update = tx.prepareStatement("UPDATE account SET n = n + 1 WHERE id = ?");
                PreparedStatement query = tx.prepareStatement("SELECT n FROM account WHERE id = ?")) {
            update.setString(1, user);
            update.executeUpdate();
            query.setString(1, user);
            try (ResultSet row = query.executeQuery()) {
                row.next();
                return row.getLong(1);
            }
        }
    }

    static Event<AssetUpdated> event(String user, long n) {
        return Event.of(ASSET_UPDATED, user + ":" + n, Instant.EPOCH, AssetUpdated.amount(user, 1));
    }

    static String id(ConsumerRecord<byte[], byte[]> record) {
        return new String(record.headers().lastHeader("id").value(), UTF_8);
    }

    /** Ids of events whose first occurrence does not follow that of the event before it. */
    static List<String> reordered(List<String> ids) {
        Map<String, Long> last = new HashMap<>();
        Set<String> seen = new HashSet<>();
        List<String> reordered = new ArrayList<>();
        for (String id : ids) {
            if (seen.add(id)) {
                String user = id.substring(0, id.indexOf(':'));
                long n = Long.parseLong(id.substring(id.indexOf(':') + 1));
                if (n != last.getOrDefault(user, 0L) + 1) {
                    reordered.add(id);
                }
                last.put(user, n);
            }
        }
        return reordered;
    }

    static List<String> reorderedRecords(List<ConsumerRecord<byte[], byte[]>> records) {
        return reordered(records.stream().map(SerialisedWriters::id).toList());
    }
}
