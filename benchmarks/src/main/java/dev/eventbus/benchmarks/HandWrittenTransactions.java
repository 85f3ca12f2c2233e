package dev.eventbus.benchmarks;

import java.sql.Connection;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/**
 * The limit of an idempotent handler: one thread and one connection; what a poll brings, 200 records, is one transaction of two
 * statements, the marks and the effects of those that were not marked. It knows no failure and nothing but this one effect.
 */
final class HandWrittenTransactions implements Consuming {

    private static final int RECORDS = 200;

    private final String name;

    HandWrittenTransactions(String name) {
        this.name = name;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public Running start(Servers servers, Backlog backlog, String group, Handler handler) throws Exception {
        KafkaConsumer<byte[], byte[]> consumer = RawPollLoop.consumer(servers, group, RECORDS);
        consumer.subscribe(List.of(backlog.topic()));
        return new Loop(consumer, servers.connect(), backlog, handler);
    }

    private final class Loop implements Running {

        private final KafkaConsumer<byte[], byte[]> consumer;
        private final Connection connection;
        private final Backlog backlog;
        private final Handler handler;
        private final AtomicBoolean stopped = new AtomicBoolean();
        private final AtomicReference<Exception> failure = new AtomicReference<>();
        private final Thread thread = new Thread(this::run, "hand-written-transactions");

        Loop(KafkaConsumer<byte[], byte[]> consumer, Connection connection, Backlog backlog, Handler handler) {
            this.consumer = consumer;
            this.connection = connection;
            this.backlog = backlog;
            this.handler = handler;
            thread.start();
        }

        private void run() {
            try (consumer;
                    connection) {
                connection.setAutoCommit(false);
                while (!stopped.get()) {
                    ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(50));
                    if (!records.isEmpty()) {
                        transaction(records);
                        consumer.commitAsync((committed, failure) -> {}); // the next commit makes up for one that fails
                    }
                }
            } catch (Exception e) {
                failure.set(e);
            }
        }

        private void transaction(ConsumerRecords<byte[], byte[]> records) throws Exception {
            Map<String, Long> numbers = new HashMap<>();
            List<String> ids = new ArrayList<>();
            for (ConsumerRecord<byte[], byte[]> record : records) {
                long number = SampleEvents.numberOf(record.value());
                String id = Backlog.idOf(number);
                numbers.put(id, number);
                ids.add(id);
            }
            List<Long> fresh = new ArrayList<>();
            List<String> keys = new ArrayList<>();
            for (String id : Ledger.mark(connection, ids)) {
                long number = Objects.requireNonNull(numbers.get(id));
                fresh.add(number);
                keys.add(Backlog.keyText(backlog.keyOf(number)));
            }
            Ledger.bookAll(connection, fresh, keys);
            connection.commit();
            for (long number : fresh) {
                handler.handle(number);
            }
        }

        @Override
        public void check() {
            Exception failed = failure.get();
            if (failed != null) {
                throw new IllegalStateException(name + " has failed", failed);
            }
        }

        @Override
        public void close() throws InterruptedException {
            stopped.set(true);
            thread.join();
        }
    }
}
