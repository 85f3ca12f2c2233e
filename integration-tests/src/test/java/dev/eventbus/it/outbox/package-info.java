/** The outbox and its relay on real databases and a real Kafka. */
@NullMarked
package dev.eventbus.it.outbox;

import org.jspecify.annotations.NullMarked;
