/** Parts of the relay; no API. */
@NullMarked
package dev.eventbus.outbox.internal;

import org.jspecify.annotations.NullMarked;
