package dev.eventbus.examples.joining;

import static org.jooq.impl.DSL.field;
import static org.jooq.impl.DSL.table;

import dev.eventbus.EventBusException;
import dev.eventbus.EventPublisher;
import dev.eventbus.outbox.Outbox;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jooq.Configuration;
import org.jooq.DSLContext;
import org.jooq.Field;
import org.jooq.exception.DataAccessException;

/** jOOQ: the configuration that a transaction is given lends its connection. */
public final class JooqAssets implements Assets, Assets.Import {

    private static final Field<String> USER_ID = field("user_id", String.class);
    private static final Field<Long> AMOUNT = field("amount", Long.class);

    private final DSLContext dsl;
    private final Outbox outbox;

    public JooqAssets(DSLContext dsl, Outbox outbox) {
        this.dsl = dsl;
        this.outbox = outbox;
    }

    // region: set
    @Override
    public void set(String user, long amount) {
        dsl.transaction(tx -> set(tx, user, amount));
        outbox.committed();
    }

    private void set(Configuration tx, String user, long amount) {
        tx.dsl() // holds the user's row from here on
                .insertInto(table("asset"), USER_ID, AMOUNT)
                .values(user, amount)
                .onConflict(USER_ID)
                .doUpdate()
                .set(AMOUNT, amount)
                .execute();
        EventPublisher events = outbox.joining(work -> tx.dsl().connection(work::accept));
        events.publish(ASSET_UPDATED, new AssetUpdated(user, amount));
    }
    // end: set

    // region: savepoint
    @Override
    public Map<String, Exception> setAll(Map<String, Long> amounts) {
        Map<String, Exception> leftOut = new LinkedHashMap<>();
        dsl.transaction(tx -> amounts.forEach((user, amount) -> {
            try {
                tx.dsl().transaction(step -> set(step, user, amount)); // a savepoint
            } catch (DataAccessException | EventBusException e) {
                leftOut.put(user, e); // rolled back to it, with its event
            }
        }));
        outbox.committed();
        return leftOut;
    }
    // end: savepoint
}
