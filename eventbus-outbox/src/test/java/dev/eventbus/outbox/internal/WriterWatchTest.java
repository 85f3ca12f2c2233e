package dev.eventbus.outbox.internal;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.outbox.sql.FloorTracker;
import dev.eventbus.outbox.sql.H2OutboxSql;
import dev.eventbus.outbox.sql.OutboxSql;
import dev.eventbus.outbox.sql.TableNames;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Map;
import java.util.OptionalLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** How long somebody's open transaction is told of. */
class WriterWatchTest {

    private long nanos;
    private final FloorTracker floors = new FloorTracker(Duration.ofSeconds(2), () -> nanos);
    private final WriterWatch writers = new WriterWatch(withWriter(), () -> nanos);
    private Connection connection;

    @BeforeEach
    void open() throws SQLException {
        connection = DriverManager.getConnection("jdbc:h2:mem:");
    }

    @AfterEach
    void close() throws SQLException {
        connection.close();
    }

    /** H2 as if it told who writes. */
    private static OutboxSql withWriter() {
        OutboxSql h2 = new H2OutboxSql(TableNames.defaults());
        return (OutboxSql) Proxy.newProxyInstance(
                OutboxSql.class.getClassLoader(),
                new Class<?>[] {OutboxSql.class},
                (proxy, method, arguments) -> method.getName().equals("oldestWriter")
                        ? "SELECT 'pid 4711', CURRENT_TIMESTAMP, 'end it'"
                        : method.invoke(h2, arguments));
    }

    /** Looks once a second, as long as transactions below {@code xmin} have ended and none besides. */
    private void look(Duration time, long xmin) throws SQLException {
        for (long second = 0; second < time.toSeconds(); second++) {
            nanos += Duration.ofSeconds(1).toNanos();
            floors.doubt();
            floors.fetched(OptionalLong.of(xmin), OptionalLong.of(1_000), Map.of());
            writers.look(connection, floors);
            floors.began(floors.mark(), 200);
        }
    }

    @Test
    void a_writer_is_told_of_after_ten_seconds_and_as_long_as_it_lives() throws SQLException {
        look(Duration.ofSeconds(3), 300);
        look(Duration.ofSeconds(9), 100);
        assertThat(writers.problem()).isEmpty();
        for (int i = 0; i < 12; i++) {
            look(Duration.ofSeconds(10), 100);
            assertThat(writers.problem().orElse(""))
                    .as("after %d times 10 s", i)
                    .contains("pid 4711", "end it");
        }
        look(Duration.ofSeconds(2), 300);
        assertThat(writers.problem()).isEmpty();
    }

    @Test
    void a_new_connection_does_not_hide_a_writer_that_lives() throws SQLException {
        look(Duration.ofSeconds(3), 300);
        look(Duration.ofSeconds(15), 100);
        assertThat(writers.problem()).isPresent();
        floors.reset();
        for (int i = 0; i < 30; i++) {
            look(Duration.ofSeconds(1), 100);
            assertThat(writers.problem()).isPresent();
        }
        look(Duration.ofSeconds(2), 300);
        assertThat(writers.problem()).isEmpty();
    }
}
