/**
 * Publishing and handling inside the transactions of JDBI.
 *
 * <p>To copy: {@link dev.eventbus.examples.jdbi.Orders} for publishing, {@link dev.eventbus.examples.jdbi.Shipping} for consuming,
 * {@link dev.eventbus.examples.jdbi.JdbiExample} for wiring.
 */
@NullMarked
package dev.eventbus.examples.jdbi;

import org.jspecify.annotations.NullMarked;
