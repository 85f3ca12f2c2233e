package dev.eventbus.examples.homestarter;

import javax.sql.DataSource;
import org.flywaydb.core.Flyway;

/** Brings a service's database up to date: its own tables, then the library's. */
final class Tables {

    private Tables() {}

    // region: migrate
    static void migrate(DataSource database, String service) {
        Flyway.configure()
                .dataSource(database)
                .locations("classpath:db/" + service)
                .load()
                .migrate();
        Flyway.configure() // the library has a V1 too, so it has a history of its own
                .dataSource(database)
                .locations("classpath:META-INF/eventbus/outbox/postgresql")
                .table("eventbus_schema_history")
                .baselineOnMigrate(true)
                .baselineVersion("0")
                .load()
                .migrate();
    }
    // end: migrate
}
