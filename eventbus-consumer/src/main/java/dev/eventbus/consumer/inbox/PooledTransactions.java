package dev.eventbus.consumer.inbox;

import javax.sql.DataSource;

/** Transactions on connections of a data source; each takes one and gives it back as it was. */
final class PooledTransactions implements InboxTransactions {

    private final DataSource dataSource;
    private final InboxSql sql;

    PooledTransactions(DataSource dataSource, InboxSql sql) {
        this.dataSource = dataSource;
        this.sql = sql;
    }

    @Override
    public <T> T run(Step<T> step) throws Exception {
        try (InboxTransaction transaction = InboxTransaction.begin(dataSource, sql)) {
            Ending<T> ending = step.in(transaction.connection(), transaction);
            if (ending.commits()) {
                transaction.commit();
            }
            return ending.value();
        }
    }
}
