package dev.eventbus.it.outbox;

import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.sql.H2OutboxSql;
import dev.eventbus.outbox.sql.OutboxSql;
import dev.eventbus.outbox.sql.TableNames;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.UUID;
import org.h2.jdbcx.JdbcDataSource;

class H2OutboxStoreTest extends OutboxStoreContract {

    private final JdbcDataSource database = new JdbcDataSource();

    H2OutboxStoreTest() {
        database.setURL("jdbc:h2:mem:%s;DB_CLOSE_DELAY=-1;LOCK_TIMEOUT=60000".formatted(UUID.randomUUID()));
    }

    @Override
    Connection connect() throws SQLException {
        return database.getConnection();
    }

    @Override
    JdbcOutbox outbox() {
        return JdbcOutbox.h2();
    }

    @Override
    OutboxSql sql() {
        return new H2OutboxSql(TableNames.defaults());
    }
}
