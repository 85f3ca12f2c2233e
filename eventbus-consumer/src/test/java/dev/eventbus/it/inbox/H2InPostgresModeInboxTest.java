package dev.eventbus.it.inbox;

import dev.eventbus.consumer.inbox.JdbcInbox;
import javax.sql.DataSource;

/** As H2 is set up to stand in for PostgreSQL. */
class H2InPostgresModeInboxTest extends InboxContract {

    @Override
    protected DataSource openDatabase() {
        return H2InboxTest.newDatabase(";MODE=PostgreSQL;DATABASE_TO_LOWER=TRUE;DEFAULT_NULL_ORDERING=HIGH");
    }

    @Override
    protected JdbcInbox inboxOn(DataSource dataSource) {
        return JdbcInbox.h2(dataSource);
    }
}
