package dev.eventbus.benchmarks;

import java.sql.Connection;
import java.sql.SQLException;

/** One way to get events from a table to a topic. Its tables are in the one database of the run. */
interface Contestant extends Participant {

    /** Creates its tables. Called once. */
    void createTables(Servers servers) throws Exception;

    /** Makes its tables empty and as small as new. */
    void empty(Servers servers) throws SQLException;

    /** How many of the rows asked for it is given: a slow one is measured on fewer, since rates are compared. */
    default long share(long rows) {
        return rows;
    }

    /** Writes the events of these numbers by statements of many rows, in the order of their numbers; neither commits nor closes. */
    void fill(Connection tx, String topic, long from, long to) throws SQLException;

    /** Whether its backlog is committed at once while it runs, because it takes a while until it has arranged itself. */
    default boolean mustRunBefore() {
        return false;
    }

    /** Begins to move what is there and what comes, until closed. */
    Running start(Servers servers, String topic) throws Exception;

    /** A contestant at work. */
    interface Running extends AutoCloseable {

        /** Waits, within limits, until it has arranged itself. */
        default void awaitReady() {}

        /** Tells it that a transaction in this JVM has committed, if it has an ear for that. */
        default void committed() {}

        /** Publishes to it as its users would, single events. */
        Publishing publishing() throws Exception;

        /** Of how many events it has said that they are sent and done with. */
        long settled();

        @Override
        void close() throws Exception;
    }
}
