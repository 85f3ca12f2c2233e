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
        eventbus(database, "outbox"); // and "inbox" where events are handled once
    }

    /** Each script of the library is a V1, as yours is: so each has a history of its own. */
    static void eventbus(DataSource database, String side) {
        Flyway.configure()
                .dataSource(database)
                .locations("classpath:META-INF/eventbus/%s/postgresql".formatted(side))
                .table("eventbus_%s_history".formatted(side))
                .baselineOnMigrate(true)
                .baselineVersion("0")
                .load()
                .migrate();
    }
    // end: migrate
}
