/** Handling many events of one type in one call. Begin at {@link dev.eventbus.consumer.batch.BatchHandler}. */
@NullMarked
package dev.eventbus.consumer.batch;

import org.jspecify.annotations.NullMarked;
