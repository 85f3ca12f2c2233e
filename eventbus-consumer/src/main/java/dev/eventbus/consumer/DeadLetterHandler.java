package dev.eventbus.consumer;

import dev.eventbus.consumer.deadletter.DeadLetter;

/**
 * What a service does about a dead letter: alert, store, show.
 *
 * <p>A failing dead-letter handler is tried again for ever, with back-off, and later letters of that key wait: a dead letter is
 * never dead-lettered.
 */
@FunctionalInterface
public interface DeadLetterHandler {

    /**
     * Handles one letter.
     *
     * @throws Exception to have it tried again
     */
    void handle(DeadLetter letter, Delivery delivery) throws Exception;
}
