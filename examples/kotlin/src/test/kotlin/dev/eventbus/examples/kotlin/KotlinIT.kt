package dev.eventbus.examples.kotlin

import com.zaxxer.hikari.HikariDataSource
import dev.eventbus.FailureReason
import dev.eventbus.consumer.Delivery
import dev.eventbus.consumer.RunnerListener
import dev.eventbus.consumer.inbox.JdbcInbox
import dev.eventbus.embedded.KafkaServer
import dev.eventbus.embedded.PostgresServer
import dev.eventbus.embedded.ServersExtension
import dev.eventbus.outbox.JdbcOutbox
import dev.eventbus.outbox.OutboxRelay
import dev.eventbus.topics.KafkaCluster
import dev.eventbus.topics.TopicSpec
import dev.eventbus.topics.Topics
import java.time.Duration
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import javax.sql.DataSource
import org.apache.kafka.clients.producer.ProducerRecord
import org.assertj.core.api.Assertions.assertThat
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.extension.ExtendWith

@ExtendWith(ServersExtension::class)
class KotlinIT {

    /** Counts down what has been handled, and keeps why the rest was not. */
    private class Progress(events: Int) : RunnerListener {
        val ended = CountDownLatch(events)
        val deadLetters = mutableListOf<FailureReason>()

        override fun handled(eventType: String, delivery: Delivery, took: Duration) = ended.countDown()

        override fun deadLettered(eventType: String?, delivery: Delivery, reason: FailureReason) {
            deadLetters += reason
            ended.countDown()
        }
    }

    @Test
    fun `what commits is handled once, null where Kotlin allows it`(server: KafkaServer, postgres: PostgresServer) {
        val kafka = KafkaCluster.at(server.bootstrapServers())
        Topics.of(
            kafka,
            TopicSpec.of(ASSET_ADDED.topic(), 3).replicationFactor(1),
            TopicSpec.of(DEAD_LETTERS, 1).replicationFactor(1),
        ).provision()
        postgres.pool().use { database ->
            createTables(database)
            val outbox = JdbcOutbox.postgres()
            val assets = Assets(database, outbox)
            val progress = Progress(events = 4)
            OutboxRelay.builder(outbox, database, kafka).build().use { relay ->
                netWorthRunner(kafka, JdbcInbox.postgres(database), progress).use { runner ->
                    relay.start()
                    runner.start()
                    assets.add("alice", 100)
                    assets.add("bob", 7, note = "first")
                    assets.add("alice", 20, note = "second")
                    kafka.send(
                        "carol",
                        """{"eventId":"evt-1","eventType":"ASSET_ADDED","timestamp":"2025-12-29T10:00:00Z","userId":"carol"}""",
                    )
                    assertThat(progress.ended.await(1, TimeUnit.MINUTES)).`as` { "${runner.health()}" }.isTrue()
                }
            }
            assertThat(netWorths(database)).containsExactly("alice 120 second", "bob 7 first")
            assertThat(progress.deadLetters).containsExactly(FailureReason.BAD_VALUE)
        }
    }

    /** As a person or another program might: the amount is missing. */
    private fun KafkaCluster.send(key: String, json: String) {
        producer(emptyMap()).use {
            it.send(ProducerRecord(physicalTopic(ASSET_ADDED.topic()), key.toByteArray(), json.toByteArray())).get()
        }
    }

    private fun PostgresServer.pool() = HikariDataSource().also {
        it.jdbcUrl = createDatabase(uniqueName("kotlin"))
        it.username = user()
        it.password = password()
        it.maximumPoolSize = 12
    }

    private fun createTables(database: DataSource) {
        JdbcOutbox.postgres().createTables(database)
        JdbcInbox.createTables(database)
        database.connection.use { connection ->
            connection.createStatement().use { statement ->
                statement.execute("CREATE TABLE asset (user_id varchar(40) PRIMARY KEY, amount bigint)")
                statement.execute("CREATE TABLE net_worth (user_id varchar(40) PRIMARY KEY, total bigint, note text)")
            }
        }
    }
}
