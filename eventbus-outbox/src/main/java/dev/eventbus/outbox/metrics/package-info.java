/**
 * Meters of publisher, relay and outbox on Micrometer: {@link dev.eventbus.outbox.metrics.OutboxMetrics} is all there is. The engine
 * knows nothing of it; it is one more {@link dev.eventbus.outbox.RelayListener}.
 */
@NullMarked
package dev.eventbus.outbox.metrics;

import org.jspecify.annotations.NullMarked;
