package dev.eventbus.benchmarks;

import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The limit: the shortest loop that loses nothing as long as nothing fails. SELECT 2,000, send pipelined, await, DELETE by ids, on
 * a bare table, by one thread. It knows no failure, no second instance, no blocked key, no header. The producer's settings are the best
 * that were found for it: large batches that wait for each other until the page is handed over.
 */
final class RawLoop implements Contestant {

    private static final int PAGE = 2_000;
    private static final long LOOK_MILLIS = 50;

    private final String name;

    RawLoop(String name) {
        this.name = name;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public void createTables(Servers servers) throws SQLException {
        servers.execute("""
                CREATE TABLE IF NOT EXISTS raw_outbox (
                  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL, payload bytea NOT NULL)
                """);
    }

    @Override
    public void empty(Servers servers) throws SQLException {
        servers.execute("TRUNCATE raw_outbox");
    }

    @Override
    public void fill(Connection tx, String topic, long from, long to) throws SQLException {
        String sql = "INSERT INTO raw_outbox (key, payload) SELECT %s, %s FROM generate_series(?, ?) AS n ORDER BY n"
                .formatted(SampleEvents.keySql(), SampleEvents.valueSql());
        try (PreparedStatement insert = tx.prepareStatement(sql)) {
            insert.setLong(1, from);
            insert.setLong(2, to - 1);
            insert.executeUpdate();
        }
    }

    @Override
    public Running start(Servers servers, String topic) throws SQLException {
        Connection connection = servers.connect();
        KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(servers.pipelinedProducer(), new ByteArraySerializer(), new ByteArraySerializer());
        return new Loop(servers, connection, producer, topic);
    }

    private static final class Loop implements Running {

        private final Servers servers;
        private final Connection connection;
        private final KafkaProducer<byte[], byte[]> producer;
        private final String topic;
        private final Thread thread = new Thread(this::run, "raw-loop");
        private final Semaphore commits = new Semaphore(0);
        private final AtomicBoolean stopped = new AtomicBoolean();
        private final AtomicReference<Exception> failure = new AtomicReference<>();
        private final AtomicLong settled = new AtomicLong();

        Loop(Servers servers, Connection connection, KafkaProducer<byte[], byte[]> producer, String topic) {
            this.servers = servers;
            this.connection = connection;
            this.producer = producer;
            this.topic = topic;
            thread.start();
        }

        @Override
        public void committed() {
            commits.release();
        }

        @Override
        public Publishing publishing() throws SQLException {
            return new BarePublishing(servers.connect(), BarePublishing.Style.RAW_TABLE, topic, this::committed);
        }

        @Override
        public long settled() {
            Exception failed = failure.get();
            if (failed != null) {
                throw new IllegalStateException("the raw loop has failed", failed);
            }
            return settled.get();
        }

        private void run() {
            try (PreparedStatement asynchronous = connection.prepareStatement("SET synchronous_commit = off");
                    PreparedStatement select =
                            connection.prepareStatement("SELECT id, key, payload FROM raw_outbox ORDER BY id LIMIT ?");
                    PreparedStatement delete =
                            connection.prepareStatement("DELETE FROM raw_outbox WHERE id = ANY (?)")) {
                asynchronous.execute();
                select.setInt(1, PAGE);
                while (!stopped.get()) {
                    commits.drainPermits();
                    if (!relayPage(select, delete)) {
                        var unused = commits.tryAcquire(LOOK_MILLIS, TimeUnit.MILLISECONDS);
                    }
                }
            } catch (SQLException | InterruptedException | RuntimeException e) {
                failure.set(e);
            }
        }

        private boolean relayPage(PreparedStatement select, PreparedStatement delete)
                throws SQLException, InterruptedException {
            Long[] ids = new Long[PAGE];
            int read = 0;
            CountDownLatch full = new CountDownLatch(PAGE);
            try (ResultSet rows = select.executeQuery()) {
                while (rows.next()) {
                    ids[read++] = rows.getLong(1);
                    var unused = producer.send(
                            new ProducerRecord<>(topic, rows.getBytes(2), rows.getBytes(3)), (metadata, error) -> {
                                if (error != null) {
                                    failure.set(error);
                                }
                                full.countDown();
                            });
                }
            }
            if (read == 0) {
                return false;
            }
            producer.flush();
            for (int missing = read; missing < PAGE; missing++) {
                full.countDown();
            }
            full.await();
            Array sent = connection.createArrayOf("int8", Arrays.copyOf(ids, read));
            delete.setArray(1, sent);
            delete.executeUpdate();
            settled.addAndGet(read);
            return true;
        }

        @Override
        public void close() throws SQLException, InterruptedException {
            stopped.set(true);
            commits.release();
            thread.join();
            producer.close();
            connection.close();
        }
    }
}
