/**
 * The inbox: one row per group and event says how the group's dealing with the event ended. For users is
 * {@link dev.eventbus.consumer.inbox.JdbcInbox}, and what {@code load}, {@code redrive} and {@code discard} of its
 * {@link dev.eventbus.consumer.inbox.ParkingStore} do; what takes or returns a {@link dev.eventbus.consumer.inbox.Mark} is the engine's,
 * and may change in any release.
 */
@NullMarked
package dev.eventbus.consumer.inbox;

import org.jspecify.annotations.NullMarked;
