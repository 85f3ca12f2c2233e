/** Shared by the eventbus modules; not API. {@link dev.eventbus.internal.RunLoop} is the one place that owns a thread and time. */
@NullMarked
package dev.eventbus.internal;

import org.jspecify.annotations.NullMarked;
