/**
 * Ordered, idempotent consuming.
 *
 * <p>For users: {@link dev.eventbus.consumer.ConsumerRunner} and its builder, {@link dev.eventbus.consumer.EventHandler}, {@link
 * dev.eventbus.consumer.batch.BatchHandler}, {@link dev.eventbus.consumer.AfterRetries}, {@link dev.eventbus.consumer.RunnerHealth}, {@link
 * dev.eventbus.consumer.RunnerListener}.
 *
 * <p>The way of a record; read the classes in this order:
 *
 * <pre>
 * PollLoop ► RecordSource (Kafka) ► AssignedPartitions ► KeyLane ► LaneWorkers ► HandlerCall (inbox + handler, one transaction)
 *     on success: OffsetTracker ► OffsetCommitter
 *     on failure: FailurePolicy.decide(Failure) = Disposition ► FailureRouter ► timer ► the same lane, or the DeadLetterSink
 *     in batches: SharedTurn ► BatchCall (many handlers, one transaction; or one handler, many events); what fails in it ► HandlerCall
 *     parked:     HandlerCall (follows) or FailureRouter (parks) ► ParkedKeys; DrainLoop (which, when) ► Parking (runs them, one by one)
 *     beside it:  FlowControl (how much at once), Backoff (how long until the next try), SqlFaults (whose fault)
 * </pre>
 *
 * <p>One thread makes the rounds and owns Kafka's consumer, windows, budgets and timers. Workers run lanes; what they share with
 * it is each lane's lock and one queue of reports.
 *
 * <p>Invariants, named so in the tests: I1 committed ≤ lowest unfinished offset. I2 an offset is finished only by a durable end of
 * its record. I3 results of an older epoch never touch the window. I4 at most one running handler per topic, partition and key in
 * the process, zombies included. I5 n+1 starts after the end of n. I6 user code never runs on the poll thread of a started
 * runner. I7 every record read holds one permit until its end. I8 a handler never runs again because a publish failed.
 */
@NullMarked
package dev.eventbus.consumer;

import org.jspecify.annotations.NullMarked;
