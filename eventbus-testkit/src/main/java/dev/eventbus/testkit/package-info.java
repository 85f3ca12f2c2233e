/**
 * Fakes for the unit tests of services that use eventbus: no Kafka, no database, no sleeping.
 *
 * <p>{@link dev.eventbus.testkit.FakeEventBus} is the place to begin: an in-memory cluster in virtual time on which the user's own
 * production builders run unchanged. {@link dev.eventbus.testkit.Faults} is what goes wrong on it, {@link
 * dev.eventbus.testkit.CrashSweep} a crash at every place where one hurts. {@link dev.eventbus.testkit.HandlerFixture} is for one handler
 * alone, {@link dev.eventbus.testkit.RecordingOutbox} stands in for the outbox where only publishing is tested.
 *
 * <p>There is no second engine here. Only the edge to Kafka is replaced, by a {@link dev.eventbus.topics.KafkaCluster} in memory
 * that carries the virtual time; runners and relays are driven by their own {@code runOnce()}. From the bottom:
 * {@code PartitionLog} keeps records, {@code GroupState} deals partitions to members, {@code InMemoryBroker} holds both and
 * guards them, {@code InMemoryConsumer} and {@code InMemoryProducer} are the clients, {@code InMemoryKafka} makes them. What goes wrong
 * stands in {@code FaultPlan} and {@code Crashes}, which those clients and {@code CrashingDataSource} ask.
 */
@NullMarked
package dev.eventbus.testkit;

import org.jspecify.annotations.NullMarked;
