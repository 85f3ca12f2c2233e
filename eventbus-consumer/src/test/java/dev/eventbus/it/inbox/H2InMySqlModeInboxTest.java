package dev.eventbus.it.inbox;

import dev.eventbus.consumer.inbox.JdbcInbox;
import javax.sql.DataSource;

/** As H2 is set up to stand in for MySQL: text compares without case, which must not matter. */
class H2InMySqlModeInboxTest extends InboxContract {

    @Override
    protected DataSource openDatabase() {
        return H2InboxTest.newDatabase(";MODE=MySQL;IGNORECASE=TRUE;DATABASE_TO_LOWER=TRUE");
    }

    @Override
    protected JdbcInbox inboxOn(DataSource dataSource) {
        return JdbcInbox.h2(dataSource);
    }
}
