package dev.eventbus.it.inbox;

import dev.eventbus.consumer.inbox.JdbcInbox;
import java.util.UUID;
import javax.sql.DataSource;
import org.h2.jdbcx.JdbcDataSource;

class H2InboxTest extends InboxContract {

    static DataSource newDatabase(String options) {
        JdbcDataSource dataSource = new JdbcDataSource();
        dataSource.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1;LOCK_TIMEOUT=60000" + options);
        return dataSource;
    }

    @Override
    protected DataSource openDatabase() {
        return newDatabase("");
    }

    @Override
    protected JdbcInbox inboxOn(DataSource dataSource) {
        return JdbcInbox.h2(dataSource);
    }
}
