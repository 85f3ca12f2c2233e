package dev.eventbus.examples.jdbi;

import static dev.eventbus.examples.jdbi.OrderPlaced.ORDER_PLACED;

import dev.eventbus.EventPublisher;
import dev.eventbus.outbox.Outbox;
import org.jdbi.v3.core.Handle;
import org.jdbi.v3.core.Jdbi;

/** The publisher: an order and its event are rows of one JDBI transaction. */
final class Orders {

    private final Jdbi jdbi;
    private final Outbox outbox;

    Orders(Jdbi jdbi, Outbox outbox) {
        this.jdbi = jdbi;
        this.outbox = outbox;
    }

    /** Places an order of several lines, each of which is an event. If one is refused, none of them was placed. */
    void place(String customer, OrderPlaced... lines) {
        jdbi.useTransaction(tx -> {
            EventPublisher events = outbox.within(tx.getConnection());
            events.lockKeys(customer); // orders are only added: there is no row that holds the customer's order
            for (OrderPlaced line : lines) {
                insert(tx, line);
                events.publish(ORDER_PLACED, line);
            }
            tx.afterCommit(outbox::committed); // optional: the relay looks at once instead of within milliseconds
        });
    }

    private static void insert(Handle tx, OrderPlaced line) {
        tx.execute(
                "INSERT INTO order_line (customer_id, item, pieces) VALUES (?, ?, ?)",
                line.customerId(),
                line.item(),
                line.pieces());
    }
}
