package dev.eventbus.consumer.inbox;

import java.util.UUID;
import javax.sql.DataSource;
import org.h2.jdbcx.JdbcDataSource;

class H2PurgeTest extends PurgeContract {

    @Override
    protected DataSource openDatabase() {
        JdbcDataSource dataSource = new JdbcDataSource();
        dataSource.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        return dataSource;
    }

    @Override
    protected JdbcInbox inboxOn(DataSource dataSource) {
        return JdbcInbox.h2(dataSource);
    }

    @Override
    protected String daysAgo(int days) {
        return "DATEADD(DAY, -%d, CURRENT_TIMESTAMP(6))".formatted(days);
    }

    @Override
    protected String bytes(String text) {
        return "STRINGTOUTF8('%s')".formatted(text);
    }
}
