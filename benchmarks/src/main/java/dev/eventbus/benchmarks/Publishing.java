package dev.eventbus.benchmarks;

/** One way to publish: each call is one transaction of a business row and an event, by one connection and one thread. */
interface Publishing extends AutoCloseable {

    /** The whole transaction; returns when it is committed. */
    void publish(long number) throws Exception;

    @Override
    void close() throws Exception;
}
