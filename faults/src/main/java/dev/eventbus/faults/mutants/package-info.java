/** Small faults put into the library on purpose: tests that do not see them would not see a real one either. */
@NullMarked
package dev.eventbus.faults.mutants;

import org.jspecify.annotations.NullMarked;
