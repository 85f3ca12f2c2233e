/**
 * What a run has left behind, and whether it is as promised. No input, no output: whoever reads the servers makes a {@link
 * dev.eventbus.faults.check.History}, and the {@link dev.eventbus.faults.check.Checker} names what is wrong with it.
 */
@NullMarked
package dev.eventbus.faults.check;

import org.jspecify.annotations.NullMarked;
