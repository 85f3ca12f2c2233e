/** Dead letters: their headers, reading them, and sending them. */
@NullMarked
package dev.eventbus.consumer.deadletter;

import org.jspecify.annotations.NullMarked;
