package dev.eventbus.examples.kotlin

import dev.eventbus.consumer.AfterRetries
import dev.eventbus.consumer.ConsumerRunner
import dev.eventbus.consumer.RunnerListener
import dev.eventbus.consumer.inbox.JdbcInbox
import dev.eventbus.topics.KafkaCluster
import java.sql.Connection
import javax.sql.DataSource

const val DEAD_LETTERS = "dlq.events"

/** The consumer: keeps a sum for each user. Adding twice would be wrong, so sum and mark commit in one transaction. */
fun netWorthRunner(kafka: KafkaCluster, inbox: JdbcInbox, listener: RunnerListener): ConsumerRunner =
    ConsumerRunner.builder(kafka, "networth.asset.events")
        .inTransaction(inbox, ASSET_ADDED) { event, tx -> tx.connection().add(event.payload()) }
        .afterRetries(AfterRetries.parkKey(inbox, DEAD_LETTERS))
        .concurrency(4) // wants 4 + 6 connections
        .listener(listener)
        .build()

private fun Connection.add(added: AssetAdded) {
    prepareStatement(
        """
        INSERT INTO net_worth AS n (user_id, total, note) VALUES (?, ?, ?)
        ON CONFLICT (user_id) DO UPDATE SET total = n.total + excluded.total, note = excluded.note""",
    ).use { add ->
        add.setString(1, added.userId)
        add.setLong(2, added.amount)
        add.setString(3, added.note ?: "-")
        add.executeUpdate()
    }
}

fun netWorths(dataSource: DataSource): List<String> =
    dataSource.connection.use { connection ->
        connection.createStatement().use { statement ->
            val row = statement.executeQuery("SELECT user_id || ' ' || total || ' ' || note FROM net_worth ORDER BY user_id")
            generateSequence { if (row.next()) row.getString(1) else null }.toList()
        }
    }
