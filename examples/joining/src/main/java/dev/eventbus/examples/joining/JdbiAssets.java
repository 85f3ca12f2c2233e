package dev.eventbus.examples.joining;

import dev.eventbus.EventBusException;
import dev.eventbus.outbox.Outbox;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jdbi.v3.core.Handle;
import org.jdbi.v3.core.Jdbi;
import org.jdbi.v3.core.JdbiException;

/** JDBI: a handle is a connection. */
public final class JdbiAssets implements Assets, Assets.Import {

    private final Jdbi jdbi;
    private final Outbox outbox;

    public JdbiAssets(Jdbi jdbi, Outbox outbox) {
        this.jdbi = jdbi;
        this.outbox = outbox;
    }

    // region: set
    @Override
    public void set(String user, long amount) {
        jdbi.useTransaction(tx -> set(tx, user, amount));
    }

    private void set(Handle tx, String user, long amount) {
        tx.execute(SET, user, amount); // holds the user's row from here on
        outbox.within(tx.getConnection()).publish(ASSET_UPDATED, new AssetUpdated(user, amount));
        tx.afterCommit(outbox::committed);
    }
    // end: set

    // region: savepoint
    @Override
    public Map<String, Exception> setAll(Map<String, Long> amounts) {
        Map<String, Exception> leftOut = new LinkedHashMap<>();
        jdbi.useTransaction(tx -> amounts.forEach((user, amount) -> {
            tx.savepoint("one");
            try {
                set(tx, user, amount);
            } catch (JdbiException | EventBusException e) {
                tx.rollbackToSavepoint("one"); // takes the event along
                leftOut.put(user, e);
            }
        }));
        return leftOut;
    }
    // end: savepoint
}
