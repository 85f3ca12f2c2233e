package dev.eventbus.benchmarks;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.topics.KafkaCluster;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.LockSupport;

/**
 * A runner in a JVM of its own, until its standard input ends. Says on its standard output, ten times a second, how many events were
 * handled, how many came again, how many came out of order, and how many MiB of heap the last collection has left.
 */
public final class ConsumerProcess {

    /** Handles by counting alone. */
    static final String COUNTING = "counting";

    /** Handles by writing to the {@link Ledger}, in transactions with the inbox's marks. */
    static final String BOOKING = "booking";

    private static final Duration TELLS_EVERY = Duration.ofMillis(100);

    private ConsumerProcess() {}

    /** Arguments: what to do, bootstrap servers, topic, events, keys, group, dead-letter topic, JDBC address, user, password. */
    public static void main(String... arguments) throws IOException {
        boolean books = arguments[0].equals(BOOKING);
        KafkaCluster kafka = KafkaCluster.of(
                Map.of("bootstrap.servers", arguments[1], "session.timeout.ms", KillQuestion.SESSION_MILLIS));
        Backlog backlog = new Backlog(arguments[2], Long.parseLong(arguments[3]), Integer.parseInt(arguments[4]));
        HandlerWatch watch = new HandlerWatch(backlog, number -> {});
        Repeats repeats = new Repeats();
        EventbusConsumer us = EventbusConsumer.of("child").handling((builder, type, handler) -> {
            builder.listener(repeats);
            if (!books) {
                return builder.on(
                        type,
                        (event, delivery) -> handler.handle(event.payload().number()));
            }
            HikariDataSource pool = Ledger.pool(arguments[7], arguments[8], arguments[9], 32);
            return builder.inTransaction(JdbcInbox.postgres(pool), type, (event, tx) -> {
                Ledger.book(tx.connection(), event.payload().number(), event.key());
                handler.handle(event.payload().number());
            });
        });
        Thread teller = new Thread(() -> tell(watch, repeats), "teller");
        teller.setDaemon(true);
        try (ConsumerRunner runner = us.runner(kafka, arguments[5], backlog, arguments[6], watch::handle)) {
            runner.start();
            teller.start();
            while (System.in.read() >= 0) {
                // until the parent has closed it, or is gone
            }
        }
    }

    private static void tell(HandlerWatch watch, Repeats repeats) {
        while (!Thread.currentThread().isInterrupted()) {
            System.out.println(watch.count() + " " + (watch.repeats() + repeats.heard.sum()) + " " + watch.violations()
                    + " " + heapMebibytes());
            LockSupport.parkNanos(TELLS_EVERY.toNanos());
        }
    }

    /** What the last collection of each pool has left. */
    private static long heapMebibytes() {
        return ManagementFactory.getMemoryPoolMXBeans().stream()
                        .map(MemoryPoolMXBean::getCollectionUsage)
                        .filter(usage -> usage != null)
                        .mapToLong(usage -> usage.getUsed())
                        .sum()
                >> 20;
    }

    private static final class Repeats implements RunnerListener {

        private final LongAdder heard = new LongAdder();

        @Override
        public void repeated(String eventType, Delivery delivery, Outcome known) {
            heard.increment();
        }
    }
}
