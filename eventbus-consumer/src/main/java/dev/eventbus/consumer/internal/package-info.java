/** Calculators that the consumer's engine uses: no API. */
@NullMarked
package dev.eventbus.consumer.internal;

import org.jspecify.annotations.NullMarked;
