package dev.eventbus.it.inbox;

import dev.eventbus.consumer.inbox.JdbcInbox;
import javax.sql.DataSource;

class H2ParkingTest extends ParkingContract {

    @Override
    protected DataSource openDatabase() {
        return H2InboxTest.newDatabase("");
    }

    @Override
    protected JdbcInbox inboxOn(DataSource dataSource) {
        return JdbcInbox.h2(dataSource);
    }

    @Override
    protected int races() {
        return 1_000;
    }
}
