package dev.eventbus.consumer.batch;

/**
 * How a list of events came to its handler. Valid while the handler runs.
 *
 * <p>An interface, so that a unit test may hand its own to a handler.
 */
public interface Batch {

    /** The consumer group. */
    String group();

    /** 1, except for a list of one event that has failed by itself before. */
    int attempt();
}
