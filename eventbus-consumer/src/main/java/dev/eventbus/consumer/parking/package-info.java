/**
 * Parked keys: what is kept of them and of their events, and each database's statements about them. For users are
 * {@link dev.eventbus.consumer.parking.ParkedKey} and {@link dev.eventbus.consumer.parking.ParkedEvent}; the other types are public only
 * because the engine that uses them lies in another package, and may change in any release.
 */
@NullMarked
package dev.eventbus.consumer.parking;

import org.jspecify.annotations.NullMarked;
