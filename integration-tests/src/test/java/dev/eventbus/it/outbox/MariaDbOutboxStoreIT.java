package dev.eventbus.it.outbox;

import dev.eventbus.embedded.EmbeddedMariaDb;
import dev.eventbus.it.MariaDbExtension;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.ExtendWith;

@Tag("mariadb")
@ExtendWith(MariaDbExtension.class)
class MariaDbOutboxStoreIT extends MariaDbOutboxContract {

    private final EmbeddedMariaDb mariaDb;
    private final String url;

    MariaDbOutboxStoreIT(EmbeddedMariaDb mariaDb) {
        this.mariaDb = mariaDb;
        this.url = mariaDb.createDatabase(mariaDb.uniqueName("store"));
    }

    @Override
    Connection connect() throws SQLException {
        return DriverManager.getConnection(url, mariaDb.user(), mariaDb.password());
    }
}
