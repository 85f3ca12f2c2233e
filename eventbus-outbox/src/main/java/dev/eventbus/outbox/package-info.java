/**
 * The typed publisher that writes to the outbox table, and the relay that moves it to Kafka.
 *
 * <pre>
 * Outbox ► EventPublisher ► OutboxStore (insert)                                        in the caller's transaction
 * OutboxRelay ► RelayPass: ShardLeases ► OutboxFeed (fetch) ► EventSender ► KafkaSink ► OutboxFeed (ack = delete)
 * </pre>
 *
 * <p>Read {@link dev.eventbus.outbox.Outbox} and {@link dev.eventbus.outbox.JdbcOutbox} to publish,
 * {@link dev.eventbus.outbox.OutboxRelay} to relay; then {@code RelayPass}, the one round that the relay's thread repeats. Who may
 * send a shard: {@code ShardLeases}. From where it is read: {@code FloorTracker}. What is on its way: {@code InFlight}; how it
 * gets to Kafka: {@code FailStopProducer} or {@code ShardTransactions}. What
 * happens after a failure: {@code EventSender}; to a topic: {@code TopicBreakers}; to a key: {@code BlockedKeys}. When to look:
 * {@code RelayPace}.
 *
 * <p>What Debezium needs in the relay's place: {@link dev.eventbus.outbox.JdbcOutbox#relayedByDebezium()}.
 *
 * <p>What a person does: {@link dev.eventbus.outbox.OutboxAdmin}. What is heard and counted:
 * {@link dev.eventbus.outbox.RelayListener}, of which {@code dev.eventbus.outbox.metrics} is one.
 */
@NullMarked
package dev.eventbus.outbox;

import org.jspecify.annotations.NullMarked;
