package dev.eventbus.it.inbox;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Transactions;
import javax.sql.DataSource;

class H2TransactionsTest extends TransactionsContract {

    @Override
    protected DataSource openDatabase() {
        return H2InboxTest.newDatabase("");
    }

    @Override
    protected JdbcInbox inboxOn(DataSource dataSource) {
        return JdbcInbox.h2(dataSource);
    }

    @Override
    protected JdbcInbox inboxIn(Transactions transactions) {
        return JdbcInbox.h2(transactions);
    }
}
