/** A publisher and a consumer with nothing but JDBC. */
@NullMarked
package dev.eventbus.examples.plainjdbc;

import org.jspecify.annotations.NullMarked;
