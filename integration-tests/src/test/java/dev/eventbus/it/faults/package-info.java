/** Faults of the network between us and a real broker or database, brought about by a proxy. */
@NullMarked
package dev.eventbus.it.faults;

import org.jspecify.annotations.NullMarked;
