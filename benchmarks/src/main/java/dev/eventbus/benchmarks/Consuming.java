package dev.eventbus.benchmarks;

/** One way to get events from a topic to a handler. */
interface Consuming extends Participant {

    /** What is done with an event, by its number. */
    @FunctionalInterface
    interface Handler {
        void handle(long number) throws Exception;
    }

    /** How many of the events asked for it is given: a slow one is measured on fewer, since rates are compared. */
    default long share(long events) {
        return events;
    }

    /** Begins to read the topic from its beginning, as a member of a group, until closed. */
    Running start(Servers servers, Backlog backlog, String group, Handler handler) throws Exception;

    /** A contestant at work. */
    interface Running extends AutoCloseable {

        /** Throws what has ended it early, if something has. */
        default void check() {}

        /** How it is doing, in words, for the message when it does not come to an end. */
        default String describe() {
            return "";
        }

        @Override
        void close() throws Exception;
    }
}
