/** Redrive: dead letters and parked keys of a group are looked at, and handled again by the group that failed. Begin with {@link Redrive}. */
@NullMarked
package dev.eventbus.consumer.redrive;

import org.jspecify.annotations.NullMarked;
