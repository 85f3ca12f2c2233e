package dev.eventbus.examples.plainjdbc;

import static dev.eventbus.examples.plainjdbc.Assets.ASSET_ADDED;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.examples.plainjdbc.Assets.AssetAdded;
import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Map;
import java.util.TreeMap;
import javax.sql.DataSource;

/** The consumer: keeps a sum for each user. Adding twice would be wrong, so sum and mark commit in one transaction. */
final class NetWorth {

    private NetWorth() {}

    static ConsumerRunner runner(KafkaCluster kafka, JdbcInbox inbox, RunnerListener listener) {
        return ConsumerRunner.builder(kafka, "networth.asset.events")
                .inTransaction(inbox, ASSET_ADDED, (event, tx) -> add(tx.connection(), event.payload()))
                .afterRetries(AfterRetries.parkKey(inbox, PlainJdbc.DEAD_LETTERS))
                .concurrency(4) // wants 4 + 6 connections
                .listener(listener)
                .build();
    }

    private static void add(Connection tx, AssetAdded added) throws SQLException {
        try (PreparedStatement add = tx.prepareStatement("""
                INSERT INTO net_worth AS n (user_id, total) VALUES (?, ?)
                ON CONFLICT (user_id) DO UPDATE SET total = n.total + excluded.total""")) {
            add.setString(1, added.userId());
            add.setLong(2, added.amount());
            add.executeUpdate();
        }
    }

    static Map<String, Long> of(DataSource dataSource) throws SQLException {
        Map<String, Long> totals = new TreeMap<>();
        try (Connection connection = dataSource.getConnection();
                PreparedStatement query = connection.prepareStatement("SELECT user_id, total FROM net_worth");
                ResultSet row = query.executeQuery()) {
            while (row.next()) {
                totals.put(row.getString(1), row.getLong(2));
            }
        }
        return totals;
    }
}
