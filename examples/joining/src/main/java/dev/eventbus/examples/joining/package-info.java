/**
 * How to publish inside the transaction that is there already, with plain JDBC and with the frameworks that own it. Each class is
 * a recipe to copy; they all do the same, so that they can be compared and are tested alike.
 */
@NullMarked
package dev.eventbus.examples.joining;

import org.jspecify.annotations.NullMarked;
