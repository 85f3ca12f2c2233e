package dev.eventbus.benchmarks;

import static java.nio.charset.StandardCharsets.US_ASCII;

import com.gruelbox.transactionoutbox.Dialect;
import com.gruelbox.transactionoutbox.Instantiator;
import com.gruelbox.transactionoutbox.Persistor;
import com.gruelbox.transactionoutbox.Submitter;
import com.gruelbox.transactionoutbox.ThreadLocalContextTransactionManager;
import com.gruelbox.transactionoutbox.TransactionManager;
import com.gruelbox.transactionoutbox.TransactionOutbox;
import com.gruelbox.transactionoutbox.TransactionOutboxEntry;
import com.gruelbox.transactionoutbox.TransactionOutboxListener;
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * transaction-outbox 4.2: a task for each event sends it to Kafka and waits for the answer, in a transaction of its own. 16 workers;
 * what was not submitted after its commit is found by {@code flush()}, called without a pause while it finds something. This version
 * has no ordered tasks, so order is not kept, and the violations are counted.
 */
final class GruelboxOutbox implements Contestant {

    private static final int WORKERS = 16;
    private static final long MOST_ROWS = 10_000;
    private static final Duration FLUSH_EVERY = Duration.ofMillis(100);

    /** What its users write: the task. */
    interface EventSender {
        void send(String topic, String key, String value);
    }

    private final String name;

    GruelboxOutbox(String name) {
        this.name = name;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public boolean isPeer() {
        return true;
    }

    @Override
    public void createTables(Servers servers) throws Exception {
        start(servers, "none").close(); // it migrates by itself
    }

    @Override
    public void empty(Servers servers) throws SQLException {
        servers.execute("TRUNCATE txno_outbox");
    }

    @Override
    public long share(long rows) {
        return Math.min(rows, MOST_ROWS);
    }

    @Override
    public void fill(Connection tx, String topic, long from, long to) throws SQLException {
        String sql = """
                INSERT INTO txno_outbox (id, invocation, nextAttemptTime, attempts, blocked, processed, version)
                SELECT gen_random_uuid()::text,
                       json_build_object('c', ?, 'm', 'send', 'p', json_build_array('String', 'String', 'String'),
                                         'a', json_build_array(json_build_object('t', 'String', 'v', ?),
                                                               json_build_object('t', 'String', 'v', %s),
                                                               json_build_object('t', 'String', 'v', convert_from(%s, 'UTF8'))))::text,
                       now() AT TIME ZONE 'UTC' - interval '1 day', 0, false, false, 0
                FROM generate_series(?, ?) AS n ORDER BY n
                """.formatted(SampleEvents.keySql(), SampleEvents.valueSql());
        try (PreparedStatement insert = tx.prepareStatement(sql)) {
            insert.setString(1, EventSender.class.getName());
            insert.setString(2, topic);
            insert.setLong(3, from);
            insert.setLong(4, to - 1);
            insert.executeUpdate();
        }
    }

    @Override
    public Running start(Servers servers, String topic) {
        return new Workers(servers, topic, true);
    }

    /** Publishes events that nobody works on. */
    Publishing publishingOnly(Servers servers, String topic) {
        return new Workers(servers, topic, false).publishing();
    }

    private static final class Workers implements Running, EventSender, TransactionOutboxListener {

        private final String topic;
        private final boolean working;
        private final HikariDataSource database;
        private final KafkaProducer<byte[], byte[]> producer;
        private final ExecutorService workers = Executors.newFixedThreadPool(WORKERS);
        private final ThreadLocalContextTransactionManager transactions;
        private final TransactionOutbox outbox;
        private final Thread flusher = new Thread(this::flush, "gruelbox-flush");
        private final AtomicBoolean stopped = new AtomicBoolean();
        private final AtomicLong settled = new AtomicLong();

        Workers(Servers servers, String topic, boolean working) {
            this.topic = topic;
            this.working = working;
            HikariConfig pool = new HikariConfig();
            pool.setJdbcUrl(servers.postgres().jdbcUrl());
            pool.setUsername(servers.postgres().user());
            pool.setPassword(servers.postgres().password());
            pool.setMaximumPoolSize(WORKERS + 2);
            this.database = new HikariDataSource(pool);
            this.producer = new KafkaProducer<>(
                    Map.of("bootstrap.servers", servers.bootstrapServers(), "acks", "all", "linger.ms", 0),
                    new ByteArraySerializer(),
                    new ByteArraySerializer());
            this.transactions = TransactionManager.fromDataSource(database);
            this.outbox = TransactionOutbox.builder()
                    .transactionManager(transactions)
                    .persistor(Persistor.forDialect(Dialect.POSTGRESQL_9))
                    .instantiator(Instantiator.using(type -> this))
                    .submitter(working ? Submitter.withExecutor(workers) : (entry, local) -> {})
                    .listener(this)
                    .build();
            if (working) {
                flusher.start();
            }
        }

        @Override
        public void send(String to, String key, String value) {
            try {
                var unused = producer.send(new ProducerRecord<>(to, key.getBytes(US_ASCII), value.getBytes(US_ASCII)))
                        .get();
            } catch (InterruptedException | ExecutionException e) {
                throw new IllegalStateException("not sent", e);
            }
        }

        @Override
        public void success(TransactionOutboxEntry entry) {
            settled.incrementAndGet();
        }

        private void flush() {
            while (!stopped.get()) {
                if (!outbox.flush()) {
                    LockSupport.parkNanos(FLUSH_EVERY.toNanos());
                }
            }
        }

        @Override
        public Publishing publishing() {
            return new Publishing() {
                @Override
                public void publish(long number) throws SQLException {
                    transactions.inTransactionThrows(transaction -> {
                        PreparedStatement business = transaction.prepareBatchStatement(BarePublishing.BUSINESS_ROW);
                        business.setString(1, SampleEvents.key(number));
                        business.setLong(2, number);
                        business.executeUpdate();
                        outbox.schedule(EventSender.class)
                                .send(topic, SampleEvents.key(number), SampleEvents.value(number));
                    });
                }

                @Override
                public void close() throws InterruptedException {
                    if (!working) {
                        Workers.this.close();
                    }
                }
            };
        }

        @Override
        public long settled() {
            return settled.get();
        }

        @Override
        public void close() throws InterruptedException {
            stopped.set(true);
            flusher.join();
            workers.shutdown();
            producer.close();
            database.close();
        }
    }
}
