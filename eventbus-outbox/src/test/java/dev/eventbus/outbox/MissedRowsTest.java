package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.outbox.sql.FetchWindow;
import dev.eventbus.outbox.sql.H2OutboxSql;
import dev.eventbus.outbox.sql.OutboxSql;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.Shards;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** A snapshot that lacks a row, as one of MariaDB may: what lies behind it of its key is left for the next fetch. */
class MissedRowsTest {

    private static final int SHARD = 5;
    private static final String KEY = IntStream.range(0, 10_000)
            .mapToObj(i -> "user-" + i)
            .filter(key -> Shards.of(key) == SHARD)
            .findFirst()
            .orElseThrow();

    private final TestDatabase database = new TestDatabase();

    /** H2 as if a second look found an event of the key before all others. */
    private OutboxSql missing() {
        OutboxSql h2 = new H2OutboxSql(database.outbox.names());
        String first = "SELECT %d, 0, 'asset.events', '%s'".formatted(SHARD, KEY);
        return (OutboxSql) Proxy.newProxyInstance(
                OutboxSql.class.getClassLoader(),
                new Class<?>[] {OutboxSql.class},
                (proxy, method, arguments) -> method.getName().equals("missed")
                        ? ((Connection) arguments[0]).prepareStatement(first)
                        : method.invoke(h2, arguments));
    }

    @Test
    void the_next_page_begins_behind_the_last_shard_that_was_read_though_nothing_of_it_is_left() throws SQLException {
        database.publish(event("evt-1", KEY), event("evt-2", KEY), event("evt-3", KEY));
        List<FetchWindow.Floor> all = IntStream.range(0, Shards.COUNT)
                .mapToObj(shard -> new FetchWindow.Floor(shard, Long.MIN_VALUE))
                .toList();
        FetchWindow window = new FetchWindow(all, List.of(), List.of(), 500, 2, 1 << 20);
        try (Connection connection = database.dataSource.getConnection()) {
            OutboxStore.Fetched fetched = new OutboxStore(missing()).fetch(connection, window);
            assertThat(fetched.rows()).isEmpty();
            assertThat(fetched.isCut()).isTrue();
            assertThat(fetched.nextShard()).isEqualTo(SHARD + 1);
        }
    }
}
