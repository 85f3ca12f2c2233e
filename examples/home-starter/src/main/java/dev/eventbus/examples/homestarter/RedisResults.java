package dev.eventbus.examples.homestarter;

import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.function.Supplier;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.params.ScanParams;
import redis.clients.jedis.resps.ScanResult;

/**
 * Cached results in Redis, each dropped once for each event.
 *
 * <p>Redis cannot take part in the transaction of an inbox, so an event comes at least once: after a crash or a hand-over it may come
 * again. To drop a key twice does no harm, and for that alone {@code DEL} would do. The mark is for effects that must not be repeated, a
 * counter for instance: mark and effect are one script, which Redis runs as a whole, so the second delivery finds the mark. The effect comes
 * before the mark: if the script fails between the two, the event is tried again.
 *
 * <p>Promised: at least once; and once as long as Redis keeps its marks. It does not if it loses its memory (no {@code appendonly}, a
 * fail-over to a replica that lags) or evicts keys ({@code maxmemory-policy} other than {@code noeviction}).
 */
final class RedisResults implements CalculatorService.Results {

    /** As long as an event may come again: retention of the topic and of the dead letters, and for how long a relay may be off. */
    private static final Duration MARKS_KEPT = Duration.ofHours(24).plusDays(7).plusDays(7);

    private static final Duration RESULTS_KEPT = Duration.ofMinutes(10);

    /** What the last ones were, for a person and for the story. */
    private static final int DROPS_LISTED = 100_000;

    private final RedisClient redis;

    RedisResults(RedisClient redis) {
        this.redis = redis;
    }

    // region: once
    private static final String DROP_ONCE = """
            if redis.call('EXISTS', KEYS[1]) == 0 then
              redis.call('DEL', KEYS[2])
              redis.call('SET', KEYS[3], ARGV[1], 'EX', ARGV[4])
              redis.call('RPUSH', KEYS[4], ARGV[1])
              redis.call('LTRIM', KEYS[4], -tonumber(ARGV[2]), -1)
              redis.call('SET', KEYS[1], '', 'EX', ARGV[3])
            end
            """;

    @Override
    public void drop(String group, String eventId, String of) {
        redis.eval(
                DROP_ONCE,
                List.of(mark(group, eventId), result(of), version(of), drops(group)),
                List.of(
                        eventId + " " + System.currentTimeMillis(),
                        Integer.toString(DROPS_LISTED),
                        Long.toString(MARKS_KEPT.toSeconds()),
                        Long.toString(RESULTS_KEPT.toSeconds())));
    }
    // end: once

    private static final String FILL = """
            if (redis.call('GET', KEYS[2]) or '') == ARGV[1] then
              redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
            end
            """;

    /** The cached result, or one that is computed now. What was computed while it was dropped is not kept: it may be of old data. */
    String get(String of, Supplier<String> compute) {
        List<String> cached = redis.mget(result(of), version(of));
        if (cached.get(0) != null) {
            return cached.get(0);
        }
        String computed = compute.get();
        redis.eval(
                FILL,
                List.of(result(of), version(of)),
                List.of(
                        Objects.requireNonNullElse(cached.get(1), ""),
                        computed,
                        Long.toString(RESULTS_KEPT.toSeconds())));
        return computed;
    }

    /** The last drops of a group, oldest first: an event's id, a space, and when, in milliseconds. */
    List<String> dropped(String group) {
        return redis.lrange(drops(group), 0, -1);
    }

    /** Lets a group handle its events again on purpose; its instances must be stopped. */
    void forget(String group) {
        ScanParams ofGroup = new ScanParams().match(mark(group, "*")).count(1_000);
        String cursor = ScanParams.SCAN_POINTER_START;
        do {
            ScanResult<String> some = redis.scan(cursor, ofGroup);
            some.getResult().forEach(redis::unlink);
            cursor = some.getCursor();
        } while (!cursor.equals(ScanParams.SCAN_POINTER_START));
    }

    private static String result(String of) {
        return "result:" + of;
    }

    /** What dropped a result last, of late. */
    private static String version(String of) {
        return "version:" + of;
    }

    private static String mark(String group, String eventId) {
        return "handled:" + group + ":" + eventId;
    }

    private static String drops(String group) {
        return "drops:" + group;
    }
}
