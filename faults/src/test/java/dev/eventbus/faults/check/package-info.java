/** The checker is seen red before it is believed. */
@NullMarked
package dev.eventbus.faults.check;

import org.jspecify.annotations.NullMarked;
