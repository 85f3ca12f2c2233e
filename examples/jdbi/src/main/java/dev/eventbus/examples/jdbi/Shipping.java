package dev.eventbus.examples.jdbi;

import static dev.eventbus.examples.jdbi.OrderPlaced.ORDER_PLACED;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.topics.KafkaCluster;
import java.util.List;
import org.jdbi.v3.core.Jdbi;

/** The consumer: what it does through JDBI commits together with the inbox's mark. */
final class Shipping {

    private final Jdbi jdbi;

    Shipping(Jdbi jdbi) {
        this.jdbi = jdbi;
    }

    // region: inbox
    /** Each event in a transaction of JDBI's own, which every {@code jdbi} call of the handler's thread joins. */
    JdbcInbox inbox() {
        return JdbcInbox.postgres(work -> jdbi.useTransaction(tx -> work.accept(tx.getConnection())));
    }
    // end: inbox

    ConsumerRunner runner(KafkaCluster kafka, RunnerListener listener) {
        JdbcInbox inbox = inbox();
        return ConsumerRunner.builder(kafka, "shipping.order.events")
                .inTransaction(inbox, ORDER_PLACED, (event, tx) -> ship(event.payload()))
                .afterRetries(AfterRetries.parkKey(inbox, JdbiExample.DEAD_LETTERS))
                .concurrency(4) // wants 4 + 6 connections
                .listener(listener)
                .build();
    }

    private void ship(OrderPlaced order) {
        jdbi.useHandle(tx -> tx.execute(
                "INSERT INTO parcel (customer_id, item, pieces) VALUES (?, ?, ?)",
                order.customerId(),
                order.item(),
                order.pieces()));
    }

    /** In the order in which they were shipped. */
    List<String> parcelsOf(String customer) {
        return jdbi.withHandle(handle -> handle.select(
                        "SELECT pieces || ' ' || item FROM parcel WHERE customer_id = ? ORDER BY ord", customer)
                .mapTo(String.class)
                .list());
    }
}
