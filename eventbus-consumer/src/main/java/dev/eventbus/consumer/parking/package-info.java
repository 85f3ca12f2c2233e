/** Parked keys: what is kept of them and of their events, and each database's statements about them. */
@NullMarked
package dev.eventbus.consumer.parking;

import org.jspecify.annotations.NullMarked;
