/** The runner on a real broker. */
@NullMarked
package dev.eventbus.it.consumer;

import org.jspecify.annotations.NullMarked;
