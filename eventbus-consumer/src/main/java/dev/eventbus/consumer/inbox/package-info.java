/** The inbox: one row per group and event says how the group's dealing with the event ended. */
@NullMarked
package dev.eventbus.consumer.inbox;

import org.jspecify.annotations.NullMarked;
