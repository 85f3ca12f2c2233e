/**
 * Meters of consuming on Micrometer: {@link dev.eventbus.consumer.metrics.ConsumerMetrics} is all there is. The engine knows nothing
 * of it; it is one more {@link dev.eventbus.consumer.RunnerListener}.
 */
@NullMarked
package dev.eventbus.consumer.metrics;

import org.jspecify.annotations.NullMarked;
