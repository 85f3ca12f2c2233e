package dev.eventbus.examples.kotlin

import dev.eventbus.EventType
import dev.eventbus.outbox.Outbox
import javax.sql.DataSource

/** A property that may be missing in a record is nullable; a record without one of the others is a dead letter, `BAD_VALUE`. */
data class AssetAdded(val userId: String, val amount: Long, val note: String? = null)

val ASSET_ADDED: EventType<AssetAdded> = EventType.of("ASSET_ADDED", AssetAdded::class.java)
    .topic("asset.events")
    .key(AssetAdded::userId)

/** The publisher: changes what a user owns and says so, in one transaction. */
class Assets(private val dataSource: DataSource, private val outbox: Outbox) {

    fun add(user: String, amount: Long, note: String? = null) {
        dataSource.connection.use { tx ->
            tx.autoCommit = false
            try {
                tx.prepareStatement(ADD).use { add -> // holds the user's row until the end: the events are in order of the commits
                    add.setString(1, user)
                    add.setLong(2, amount)
                    add.executeUpdate()
                }
                outbox.within(tx).publish(ASSET_ADDED, AssetAdded(user, amount, note))
                tx.commit()
            } catch (e: Throwable) {
                tx.rollback()
                throw e
            }
        }
        outbox.committed() // optional: the relay looks at once instead of within milliseconds
    }

    private companion object {
        const val ADD = """
            INSERT INTO asset AS a (user_id, amount) VALUES (?, ?)
            ON CONFLICT (user_id) DO UPDATE SET amount = a.amount + excluded.amount"""
    }
}
