/** Places in the work of a publisher, a relay and a runner at which their JVM halts, decorators of the database and of Kafka. */
@NullMarked
package dev.eventbus.faults.crash;

import org.jspecify.annotations.NullMarked;
