package dev.eventbus.examples.homestarter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.exceptions.JedisDataException;

/** What the calculator does in Redis, on a real one. */
class RedisResultsIT {

    private static LocalRedis server;
    private static RedisClient redis;
    private static RedisResults results;

    @BeforeAll
    static void start() throws Exception {
        server = LocalRedis.start();
        redis = RedisClient.create(server.url());
        results = new RedisResults(redis);
    }

    @AfterAll
    static void stop() throws Exception {
        redis.close();
        server.close();
    }

    @BeforeEach
    void empty() {
        redis.flushAll();
    }

    @Test
    void a_result_is_kept_until_it_is_dropped() {
        assertThat(results.get("user:alice", () -> "1")).isEqualTo("1");
        assertThat(results.get("user:alice", () -> "2")).isEqualTo("1");
        results.drop("group", "event-1", "user:alice");
        assertThat(results.get("user:alice", () -> "3")).isEqualTo("3");
    }

    @Test
    void what_was_computed_before_a_drop_is_not_kept_after_it() {
        String old = results.get("user:alice", () -> {
            results.drop("group", "event-1", "user:alice");
            return "1";
        });
        assertThat(old).isEqualTo("1");
        assertThat(results.get("user:alice", () -> "2")).isEqualTo("2");
        assertThat(results.get("user:alice", () -> "3")).isEqualTo("2");
    }

    @Test
    void an_event_that_comes_again_has_no_second_effect_in_its_group_and_one_in_another() {
        results.drop("one", "event-1", "user:alice");
        results.get("user:alice", () -> "1");
        results.drop("one", "event-1", "user:alice");
        assertThat(results.get("user:alice", () -> "2")).isEqualTo("1");
        results.drop("two", "event-1", "user:alice");
        assertThat(results.get("user:alice", () -> "3")).isEqualTo("3");
        assertThat(results.dropped("one")).hasSize(1);
    }

    @Test
    void a_group_that_has_forgotten_its_events_handles_them_once_more() {
        results.drop("one", "event-1", "user:alice");
        results.drop("two", "event-1", "user:alice");
        results.forget("one");
        results.drop("one", "event-1", "user:alice");
        results.drop("two", "event-1", "user:alice");
        assertThat(results.dropped("one")).hasSize(2);
        assertThat(results.dropped("two")).hasSize(1);
    }

    @Test
    void an_effect_that_fails_leaves_no_mark() {
        redis.set("drops:group", "no list");
        assertThatThrownBy(() -> results.drop("group", "event-1", "user:alice")).isInstanceOf(JedisDataException.class);
        redis.del("drops:group");
        results.drop("group", "event-1", "user:alice");
        assertThat(results.dropped("group")).hasSize(1);
    }
}
