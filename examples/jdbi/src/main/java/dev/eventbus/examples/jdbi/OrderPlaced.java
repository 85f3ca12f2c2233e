package dev.eventbus.examples.jdbi;

import dev.eventbus.EventType;

/** A customer has ordered. The customer's events stay in order; on the wire the key is called {@code customerId}. */
record OrderPlaced(String customerId, String item, Integer pieces) {

    static final EventType<OrderPlaced> ORDER_PLACED = EventType.of("ORDER_PLACED", OrderPlaced.class)
            .topic("order.events")
            .key("customerId", OrderPlaced::customerId);
}
