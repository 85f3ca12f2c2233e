package dev.eventbus.examples.joining;

import dev.eventbus.EventBusException;
import dev.eventbus.EventPublisher;
import java.util.LinkedHashMap;
import java.util.Map;
import org.springframework.dao.DataAccessException;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.transaction.annotation.Propagation;
import org.springframework.transaction.annotation.Transactional;

/** Spring: {@code @Transactional} methods, and the publisher of {@link SpringEvents}. */
public class SpringAssets implements Assets {

    private final JdbcTemplate jdbc;
    private final EventPublisher events;

    public SpringAssets(JdbcTemplate jdbc, EventPublisher events) {
        this.jdbc = jdbc;
        this.events = events;
    }

    // region: set
    @Override
    @Transactional(propagation = Propagation.NESTED) // its own transaction, or a savepoint in the one around it
    public void set(String user, long amount) {
        jdbc.update(SET, user, amount); // holds the user's row from here on
        events.publish(ASSET_UPDATED, new AssetUpdated(user, amount));
    }
    // end: set

    /** A bean of its own, so that the call goes through the proxy. */
    public static class Batch implements Assets.Import {

        private final Assets assets;

        public Batch(Assets assets) {
            this.assets = assets;
        }

        @Override
        @Transactional
        public Map<String, Exception> setAll(Map<String, Long> amounts) throws Exception {
            Map<String, Exception> leftOut = new LinkedHashMap<>();
            for (Map.Entry<String, Long> one : amounts.entrySet()) {
                try {
                    assets.set(one.getKey(), one.getValue());
                } catch (DataAccessException | EventBusException e) {
                    leftOut.put(one.getKey(), e); // rolled back to the savepoint, with its event
                }
            }
            return leftOut;
        }
    }
}
