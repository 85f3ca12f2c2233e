package dev.eventbus.examples.homestarter;

import static dev.eventbus.examples.homestarter.Events.HOUSING_UPDATED;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.EventPublisher;
import dev.eventbus.examples.homestarter.Events.HousingUpdated;
import dev.eventbus.examples.homestarter.Events.UpdateType;
import dev.eventbus.examples.homestarter.HousingStore.Home;
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

/** housing-service: the homes that a user would like to buy. */
public final class HousingService implements AutoCloseable {

    private final HikariDataSource database;
    private final JdbcOutbox outbox = JdbcOutbox.postgres(); // one object, given to both ends: publisher and relay
    private final PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    private final OutboxMetrics metrics; // what the plan's alerts are about
    private final OutboxRelay relay;
    private final Http http;

    private HousingService(Settings settings) throws IOException {
        database = settings.database();
        Tables.migrate(database, "housing");
        metrics = OutboxMetrics.of(registry, "housing", OutboxAdmin.of(outbox, database));
        relay = OutboxRelay.builder(outbox, database, settings.kafka())
                .listener(metrics)
                .build();
        http = Http.on(settings.port())
                .route("GET", "/metrics", request -> registry.scrape())
                .route(
                        "PUT",
                        "/users/{user}/homes/{home}",
                        request -> put(request.part("user"), request.part("home"), request.json(Home.class)));
    }

    /** @param args none; see {@link Settings} */
    public static void main(String[] args) throws IOException {
        HousingService service = start(Settings.ofEnvironment());
        Runtime.getRuntime().addShutdownHook(new Thread(service::close));
        System.out.println("housing-service at " + service.url());
    }

    static HousingService start(Settings settings) throws IOException {
        HousingService service = new HousingService(settings);
        service.relay.start();
        service.metrics.start();
        service.http.start();
        return service;
    }

    // region: publish
    Map<String, Object> put(String user, String homeId, Home home) throws SQLException {
        UpdateType update = home.price() != null
                ? UpdateType.PRICE_CHANGED
                : home.location() != null ? UpdateType.LOCATION_CHANGED : UpdateType.TARGET_CHANGED;
        try (Connection tx = database.getConnection()) { // HikariCP rolls back what is not committed
            tx.setAutoCommit(false);
            EventPublisher events = outbox.within(tx);
            events.lockKeys(user); // there is no row of the user's to lock
            HousingStore.put(tx, user, homeId, home);
            String id = events.publish(HOUSING_UPDATED, new HousingUpdated(user, homeId, update));
            HousingStore.noteChange(tx, user, id);
            tx.commit();
            outbox.committed();
            return Map.of("eventId", id, "updateType", update.name());
        }
    }
    // end: publish

    String url() {
        return http.url();
    }

    HikariDataSource database() {
        return database;
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
