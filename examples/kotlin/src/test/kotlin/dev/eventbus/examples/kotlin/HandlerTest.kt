package dev.eventbus.examples.kotlin

import dev.eventbus.consumer.AfterRetries
import dev.eventbus.consumer.ConsumerRunner
import dev.eventbus.testkit.FakeEventBus
import org.assertj.core.api.Assertions.assertThat
import org.junit.jupiter.api.Test

/** A unit test: a handler without a database, on a bus in memory and in virtual time. */
class HandlerTest {

    @Test
    fun `a user who fails is dead-lettered and others go on`() {
        val notes = mutableListOf<String?>()
        FakeEventBus.create().use { bus ->
            bus.start(
                ConsumerRunner.builder(bus.kafka(), "notes")
                    .on(ASSET_ADDED) { event, delivery ->
                        check(event.key() != "bob") { "attempt ${delivery.attempt()}" }
                        notes += event.payload().note
                    }
                    .afterRetries(AfterRetries.deadLetter(DEAD_LETTERS))
                    .build(),
            )
            bus.publish(ASSET_ADDED, AssetAdded("bob", 1), AssetAdded("alice", 2), AssetAdded("alice", 3, "later"))
            bus.runUntilIdle()

            assertThat(notes).containsExactly(null, "later")
            assertThat(bus.deadLetters().map { it.keyText() }).containsExactly("bob")
        }
    }
}
