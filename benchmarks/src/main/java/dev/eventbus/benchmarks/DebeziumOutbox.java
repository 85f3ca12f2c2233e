package dev.eventbus.benchmarks;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.debezium.embedded.Connect;
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * Debezium's engine in this JVM, pgoutput and its EventRouter on our own outbox table. Its records go to Kafka by a small sink with a
 * pipelined idempotent producer: a batch is sent, awaited and marked as processed. Rows stay where they are; its publishers insert
 * and delete in one transaction.
 */
final class DebeziumOutbox implements Contestant {

    private static final String SLOT = "bench_debezium";
    private static final String PUBLICATION = "bench_debezium";
    private static final long STARTS_WITHIN_SECONDS = 30;

    private final String name;

    DebeziumOutbox(String name) {
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
    public void createTables(Servers servers) throws SQLException {
        EventbusRelay.createOutbox(servers);
        servers.execute("CREATE PUBLICATION %s FOR TABLE eventbus_outbox".formatted(PUBLICATION));
    }

    /** With a slot that begins here; the engine drops it when it ends. */
    @Override
    public void empty(Servers servers) throws SQLException {
        EventbusRelay.emptyOutbox(servers);
        servers.execute("SELECT pg_create_logical_replication_slot('%s', 'pgoutput')".formatted(SLOT));
    }

    @Override
    public void fill(Connection tx, String topic, long from, long to) throws SQLException {
        EventbusRelay.fillOutbox(tx, topic, from, to);
    }

    @Override
    public Running start(Servers servers, String topic) throws InterruptedException {
        return new Engine(servers, topic);
    }

    private static Properties settings(Servers servers) {
        URI address = URI.create(servers.postgres().jdbcUrl().substring("jdbc:".length()));
        Properties settings = new Properties();
        settings.putAll(Map.ofEntries(
                Map.entry("name", "bench"),
                Map.entry("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
                Map.entry("offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore"),
                Map.entry("offset.flush.interval.ms", "1000"),
                Map.entry("database.hostname", address.getHost()),
                Map.entry("database.port", Integer.toString(address.getPort())),
                Map.entry("database.dbname", address.getPath().substring(1)),
                Map.entry("database.user", servers.postgres().user()),
                Map.entry("database.password", servers.postgres().password()),
                Map.entry("topic.prefix", "bench"),
                Map.entry("plugin.name", "pgoutput"),
                Map.entry("slot.name", SLOT),
                Map.entry("slot.drop.on.stop", "true"),
                Map.entry("publication.name", PUBLICATION),
                Map.entry("publication.autocreate.mode", "disabled"),
                Map.entry("snapshot.mode", "no_data"),
                Map.entry("table.include.list", "public.eventbus_outbox"),
                Map.entry("tombstones.on.delete", "false"),
                Map.entry("poll.interval.ms", "10"),
                Map.entry("transforms", "outbox"),
                Map.entry("transforms.outbox.type", "io.debezium.transforms.outbox.EventRouter"),
                Map.entry("transforms.outbox.route.topic.replacement", "${routedByValue}"),
                Map.entry("transforms.outbox.table.fields.additional.placement", "type:header:eventType")));
        return settings;
    }

    private static final class Engine implements Running {

        private final Servers servers;
        private final String topic;
        private final KafkaProducer<byte[], byte[]> producer;
        private final DebeziumEngine<ChangeEvent<SourceRecord, SourceRecord>> engine;
        private final ExecutorService executor = Executors.newSingleThreadExecutor();
        private final CountDownLatch polling = new CountDownLatch(1);
        private final AtomicReference<Throwable> failure = new AtomicReference<>();
        private final AtomicLong settled = new AtomicLong();

        Engine(Servers servers, String topic) throws InterruptedException {
            this.servers = servers;
            this.topic = topic;
            this.producer = new KafkaProducer<>(
                    servers.pipelinedProducer(), new ByteArraySerializer(), new ByteArraySerializer());
            this.engine = DebeziumEngine.create(Connect.class)
                    .using(settings(servers))
                    .using(new DebeziumEngine.ConnectorCallback() {
                        @Override
                        public void pollingStarted() {
                            polling.countDown();
                        }
                    })
                    .using((success, message, error) -> {
                        if (!success) {
                            failure.set(error == null ? new IllegalStateException(message) : error);
                        }
                        polling.countDown();
                    })
                    .notifying(this::publish)
                    .build();
            executor.execute(engine);
            if (!polling.await(STARTS_WITHIN_SECONDS, TimeUnit.SECONDS)) {
                throw new IllegalStateException("the engine did not begin to poll");
            }
        }

        private void publish(
                List<ChangeEvent<SourceRecord, SourceRecord>> batch,
                DebeziumEngine.RecordCommitter<ChangeEvent<SourceRecord, SourceRecord>> committer)
                throws InterruptedException {
            CountDownLatch answered = new CountDownLatch(batch.size());
            for (ChangeEvent<SourceRecord, SourceRecord> event : batch) {
                var unused = producer.send(message(event.value()), (metadata, error) -> {
                    if (error != null) {
                        failure.set(error);
                    }
                    answered.countDown();
                });
            }
            answered.await();
            for (ChangeEvent<SourceRecord, SourceRecord> event : batch) {
                committer.markProcessed(event);
            }
            committer.markBatchFinished();
            settled.addAndGet(batch.size());
        }

        private static ProducerRecord<byte[], byte[]> message(SourceRecord event) {
            ByteBuffer buffer = ((ByteBuffer) event.value()).duplicate();
            byte[] value = new byte[buffer.remaining()];
            buffer.get(value);
            ProducerRecord<byte[], byte[]> message =
                    new ProducerRecord<>(event.topic(), event.key().toString().getBytes(UTF_8), value);
            event.headers().forEach(header -> {
                if (header.value() instanceof String text) {
                    message.headers().add(header.key(), text.getBytes(UTF_8));
                }
            });
            return message;
        }

        @Override
        public Publishing publishing() throws SQLException {
            return new BarePublishing(servers.connect(), BarePublishing.Style.OUTBOX_TABLE_AND_DELETE, topic, () -> {});
        }

        @Override
        public long settled() {
            Throwable failed = failure.get();
            if (failed != null) {
                throw new IllegalStateException("the engine has failed", failed);
            }
            return settled.get();
        }

        @Override
        public void close() throws IOException, InterruptedException {
            engine.close();
            executor.shutdown();
            if (!executor.awaitTermination(STARTS_WITHIN_SECONDS, TimeUnit.SECONDS)) {
                throw new IllegalStateException("the engine did not end");
            }
            producer.close();
        }
    }
}
