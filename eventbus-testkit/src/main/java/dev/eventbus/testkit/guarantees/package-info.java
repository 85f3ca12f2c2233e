/**
 * What a service may rely on, as checks over what was published and what handlers saw: on the in-memory cluster and on a real one
 * alike. {@link dev.eventbus.testkit.guarantees.History} is the place to begin.
 */
@NullMarked
package dev.eventbus.testkit.guarantees;

import org.jspecify.annotations.NullMarked;
