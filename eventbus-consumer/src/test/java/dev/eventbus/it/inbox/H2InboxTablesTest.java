package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.inbox.JdbcInbox;
import java.nio.file.Path;
import java.sql.SQLException;
import java.sql.Statement;
import javax.sql.DataSource;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class H2InboxTablesTest extends InboxTablesContract {

    @Override
    protected DataSource openDatabase() {
        return H2InboxTest.newDatabase("");
    }

    @Override
    protected JdbcInbox inboxOn(DataSource dataSource) {
        return JdbcInbox.h2(dataSource);
    }

    @Override
    protected String makeIdsCaseInsensitive() {
        return "ALTER TABLE eventbus_inbox ALTER COLUMN event_id SET DATA TYPE VARCHAR_IGNORECASE(128)";
    }

    @Test
    void a_read_only_database_is_refused(@TempDir Path folder) throws SQLException {
        String url = "jdbc:h2:file:" + folder.resolve("inbox");
        JdbcDataSource dataSource = new JdbcDataSource();
        dataSource.setURL(url);
        JdbcInbox.createTables(dataSource);
        try (var connection = dataSource.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute("SHUTDOWN");
        }
        dataSource.setURL(url + ";ACCESS_MODE_DATA=r");
        assertThatThrownBy(() -> JdbcInbox.h2(dataSource).verify())
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("read-only")
                .hasMessageContaining("primary");
    }
}
