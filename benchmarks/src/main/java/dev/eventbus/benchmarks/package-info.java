/**
 * How fast the outbox and its relay are, beside the raw limit and the peers, on one PostgreSQL and one broker in one run.
 *
 * <pre>
 * Benchmarks ► a question (Drain, Cpu, Latency, Idle, Heap, Publish) ► Contestant × repetition, in turn ► Table, Verdict
 *                    Servers ► Scene: the contestants' tables, and a topic of its own for every run
 *                    Witness: a plain consumer that checks order and repeats while it measures
 * </pre>
 *
 * Contestants: {@code RawLoop} is the limit, {@code EventbusRelay} is us, {@code GruelboxOutbox} and {@code DebeziumOutbox} are the
 * peers.
 */
@NullMarked
package dev.eventbus.benchmarks;

import org.jspecify.annotations.NullMarked;
