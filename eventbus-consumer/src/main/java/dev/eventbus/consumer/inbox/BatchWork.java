package dev.eventbus.consumer.inbox;

import java.util.List;

/** Work for many events in the transaction that also holds their marks. */
@FunctionalInterface
public interface BatchWork {

    /** Lends one transaction to several pieces of work, one after the other. */
    @FunctionalInterface
    interface Lender {

        /** What the work throws comes out unchanged; nothing is rolled back yet. */
        void lend(JdbcInbox.Work work) throws Exception;
    }

    /**
     * Runs once the marks are inserted, unless all of them were known or held. For each that is {@link MarkResult.Decided} the effect
     * must have been written when this returns.
     *
     * @param lender lends the transaction, as {@link JdbcInbox.Work} gets it
     * @param results what came of each mark; nothing is committed yet
     */
    void run(Lender lender, List<MarkResult> results) throws Exception;
}
