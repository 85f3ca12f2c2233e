/** The parts of the fault run that need no server. */
@NullMarked
package dev.eventbus.faults;

import org.jspecify.annotations.NullMarked;
