package dev.eventbus.examples.homestarter;

import static dev.eventbus.examples.homestarter.Events.ASSET_UPDATED;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.examples.homestarter.AssetStore.Item;
import dev.eventbus.examples.homestarter.Events.AssetUpdated;
import dev.eventbus.examples.homestarter.Events.ChangeType;
import dev.eventbus.examples.homestarter.Events.OwnerType;
import dev.eventbus.examples.homestarter.Events.Summary;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.metrics.OutboxMetrics;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** asset-service: what a user has, owes, gets and spends. */
public final class AssetService implements AutoCloseable {

    private final HikariDataSource database;
    private final JdbcOutbox outbox = JdbcOutbox.postgres(); // one object, given to both ends: publisher and relay
    private final PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    private final OutboxMetrics metrics; // what the plan's alerts are about
    private final OutboxRelay relay;
    private final Http http;

    private AssetService(Settings settings) throws IOException {
        database = settings.database();
        Tables.migrate(database, "asset");
        metrics = OutboxMetrics.of(registry, "asset", OutboxAdmin.of(outbox, database));
        relay = OutboxRelay.builder(outbox, database, settings.kafka())
                .listener(metrics)
                .build();
        http = Http.on(settings.port())
                .route("GET", "/metrics", request -> registry.scrape())
                .route(
                        "PUT",
                        "/users/{user}/assets/{item}",
                        request -> put(request.part("user"), request.part("item"), request.json(Item.class)))
                .route(
                        "DELETE",
                        "/users/{user}/assets/{item}",
                        request -> delete(request.part("user"), request.part("item")))
                .route("GET", "/users/{user}/assets", request -> summary(request.part("user")));
    }

    /** @param args none; see {@link Settings} */
    public static void main(String[] args) throws IOException {
        AssetService service = start(Settings.ofEnvironment());
        Runtime.getRuntime().addShutdownHook(new Thread(service::close));
        System.out.println("asset-service at " + service.url());
    }

    static AssetService start(Settings settings) throws IOException {
        AssetService service = new AssetService(settings);
        service.relay.start();
        service.metrics.start();
        service.http.start();
        return service;
    }

    // region: publish
    Map<String, Object> put(String user, String itemId, Item wanted) throws SQLException {
        if (wanted.itemType() == null || wanted.amount() == null) {
            throw new IllegalArgumentException("itemType and amount are needed");
        }
        Item item = new Item(
                wanted.ownerType() == null ? OwnerType.SELF : wanted.ownerType(), wanted.itemType(), wanted.amount());
        try (Connection tx = database.getConnection()) { // HikariCP rolls back what is not committed
            tx.setAutoCommit(false);
            long revision = AssetStore.lock(tx, user);
            Item before = AssetStore.find(tx, user, itemId);
            AssetStore.put(tx, user, itemId, item);
            return published(tx, change(tx, user, itemId, before, item), revision);
        }
    }

    /** The event and the change commit together, or neither. */
    private Map<String, Object> published(Connection tx, AssetUpdated change, long revision) throws SQLException {
        String id = outbox.within(tx).publish(ASSET_UPDATED, change);
        AssetStore.noteChange(tx, change.userId(), revision, id);
        tx.commit();
        outbox.committed(); // optional: the relay need not look for it
        return Map.of("eventId", id, "changeType", String.valueOf(change.changeType()));
    }
    // end: publish

    Map<String, Object> delete(String user, String itemId) throws SQLException {
        try (Connection tx = database.getConnection()) { // HikariCP rolls back what is not committed
            tx.setAutoCommit(false);
            long revision = AssetStore.lock(tx, user);
            Item before = AssetStore.find(tx, user, itemId);
            if (before == null) {
                throw new IllegalArgumentException("there is no such item");
            }
            AssetStore.delete(tx, user, itemId);
            return published(tx, change(tx, user, itemId, before, null), revision);
        }
    }

    Summary summary(String user) throws SQLException {
        try (Connection connection = database.getConnection()) {
            return AssetStore.summary(connection, user);
        }
    }

    private static AssetUpdated change(
            Connection tx, String user, String itemId, @Nullable Item before, @Nullable Item after)
            throws SQLException {
        ChangeType type = before == null
                ? ChangeType.ITEM_ADDED
                : after == null ? ChangeType.ITEM_DELETED : ChangeType.ITEM_MODIFIED;
        Item item = Objects.requireNonNull(after != null ? after : before);
        return new AssetUpdated(
                user,
                type,
                item.ownerType(),
                item.itemType(),
                itemId,
                before == null ? null : before.amount(),
                after == null ? null : after.amount(),
                AssetStore.summary(tx, user));
    }

    String url() {
        return http.url();
    }

    HikariDataSource database() {
        return database;
    }

    /** For an operator. */
    OutboxAdmin outboxAdmin() {
        return OutboxAdmin.of(outbox, database);
    }

    @Override
    public void close() {
        http.close();
        relay.close();
        metrics.close();
        registry.close();
        database.close();
    }
}
