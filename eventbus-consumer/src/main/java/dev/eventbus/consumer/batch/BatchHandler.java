package dev.eventbus.consumer.batch;

import dev.eventbus.Event;
import java.util.List;

/**
 * What a service does about many events of one type at once: one statement, one request, one pipeline for all of them.
 *
 * <pre>{@code
 * BatchHandler<AssetUpdated, Batch> evict = (events, batch) ->
 *     redis.del(events.stream().map(event -> "asset:" + event.key()).toArray(String[]::new));
 * }</pre>
 *
 * <p>Events of one key stand in the list in their order, and those of a later list come later; events of different keys stand in
 * any order. Nobody waits for a list to fill: it has what was ready, one event at least.
 *
 * <p>Whatever it throws concerns the whole list, so each of its events is then given to it by itself, in a list of one, without having used
 * an attempt; from there on an event that fails is tried again and set aside like any other, and its neighbours are not.
 *
 * @param <P> payload
 * @param <B> {@link Batch} for effects at least once, {@link TransactionalBatch} for effects once
 */
@FunctionalInterface
public interface BatchHandler<P, B extends Batch> {

    /**
     * Handles the events of a list.
     *
     * @param events at least one; the list cannot be changed
     * @throws Exception to have each of them tried by itself
     */
    void handle(List<Event<P>> events, B batch) throws Exception;
}
