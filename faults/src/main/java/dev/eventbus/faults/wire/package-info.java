/** A bad network between clients and servers on this machine, with rules for what Kafka and PostgreSQL say to each other. */
@NullMarked
package dev.eventbus.faults.wire;

import org.jspecify.annotations.NullMarked;
