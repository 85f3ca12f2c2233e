package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.Event;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.crash.Signals;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.RelayListener;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.postgresql.ds.PGSimpleDataSource;

/**
 * One session of PostgreSQL ends in the middle of its work: an administrator ends it, or its process is killed, after which the server
 * ends all others too and recovers.
 */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class KilledBackendsIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";

    /** What one relay may have in flight, and so may repeat. */
    private static final int IN_FLIGHT = 4_000;

    private static final int MANY = 20_000;

    private final EmbeddedPostgres postgres = EmbeddedPostgres.start();
    private final Scene scene;

    KilledBackendsIT(KafkaServer kafka) throws SQLException {
        scene = Scene.create(kafka, postgres, "asset.events:3");
    }

    @AfterEach
    void close() throws Exception {
        scene.close();
        postgres.close();
    }

    /** How a session ends. */
    enum How {
        TERMINATED {
            @Override
            void end(long backend, Scene scene) throws SQLException {
                assertThat(scene.count("SELECT pg_terminate_backend(%d)::int".formatted(backend)))
                        .isEqualTo(1);
            }
        },
        KILLED {
            @Override
            void end(long backend, Scene scene) throws SQLException {
                HikariDataSource pool = scene.database();
                try (Connection other =
                        DriverManager.getConnection(pool.getJdbcUrl(), pool.getUsername(), pool.getPassword())) {
                    Signals.send("KILL", backend);
                    Eventually.holds(() -> !other.isValid(1), () -> "the server has not ended its other sessions");
                }
            }
        };

        abstract void end(long backend, Scene scene) throws SQLException;
    }

    private static long backend(Connection connection) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement("SELECT pg_backend_pid()");
                ResultSet row = query.executeQuery()) {
            row.next();
            return row.getLong(1);
        }
    }

    private void publish(Event<?>... events) throws SQLException {
        scene.inTransaction(tx -> scene.outbox().within(tx).publishAll(List.of(events)));
    }

    /** Recovery takes a moment, and the pool's connections are gone. */
    private void awaitDatabase() {
        Eventually.holds(
                () -> {
                    scene.database().getHikariPoolMXBean().softEvictConnections();
                    try {
                        return scene.count("SELECT 1") == 1;
                    } catch (SQLException e) {
                        return false;
                    }
                },
                () -> "the database does not answer");
    }

    /** All of a run of numbers of each user, in order. Returns how many records came again. */
    private long complete(int events, OutboxRelay relay) {
        Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
        List<ConsumerRecord<byte[], byte[]>> records = scene.records("asset.events");
        assertThat(SerialisedWriters.reorderedRecords(records)).isEmpty();
        long distinct = records.stream().map(SerialisedWriters::id).distinct().count();
        assertThat(distinct).isEqualTo(events);
        return records.size() - distinct;
    }

    @ParameterizedTest
    @EnumSource
    void a_publisher_whose_backend_ends_in_its_transaction_is_told_by_an_SQLException_and_has_published_nothing(How how)
            throws Exception {
        OutboxRelay relay = scene.startRelay();
        publish(SerialisedWriters.event("bob", 1));
        Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
        try (Connection tx = scene.database().getConnection()) {
            tx.setAutoCommit(false);
            scene.outbox().within(tx).publish(SerialisedWriters.event("bob", 2));
            long backend = backend(tx);
            how.end(backend, scene);
            awaitDatabase();
            Throwable onPublish =
                    catchThrowable(() -> scene.outbox().within(tx).publish(SerialisedWriters.event("bob", 3)));
            assertThat(onPublish).hasCauseInstanceOf(SQLException.class);
            assertThat(catchThrowable(tx::commit)).isInstanceOf(SQLException.class);
        }
        awaitDatabase();
        assertThat(scene.strings("SELECT id FROM eventbus_outbox WHERE id <> 'bob:1'"))
                .isEmpty();
        publish(SerialisedWriters.event("bob", 2));
        publish(SerialisedWriters.event("bob", 3));
        assertThat(complete(3, relay))
                .as("a server that is ended may forget a delete, and nothing else")
                .isLessThanOrEqualTo(how == How.KILLED ? 1 : 0);
        Eventually.holds(() -> relay.health().up(), relay::health);
    }

    @ParameterizedTest
    @EnumSource
    void a_relay_whose_backend_ends_while_it_drains_goes_on_by_itself_and_repeats_no_more_than_was_in_flight(How how)
            throws Exception {
        drainAcrossTheEndOf(how, "ASC", 1);
    }

    @ParameterizedTest
    @EnumSource
    void a_relay_whose_backend_that_it_deletes_on_ends_goes_on_by_itself_and_repeats_no_more_than_was_in_flight(How how)
            throws Exception {
        drainAcrossTheEndOf(how, "DESC", 2);
    }

    /**
     * @param order in which its sessions were begun, of which the first is ended
     * @param sessions that it must have by then
     */
    private void drainAcrossTheEndOf(How how, String order, int sessions) throws Exception {
        publish(IntStream.range(0, MANY)
                .mapToObj(i -> SerialisedWriters.event("user-" + i % 20, i / 20 + 1))
                .toArray(Event<?>[]::new));
        PGSimpleDataSource own = new PGSimpleDataSource();
        own.setUrl(scene.database().getJdbcUrl());
        own.setUser(postgres.user());
        own.setPassword(postgres.password());
        own.setApplicationName("draining");
        CompletableFuture<Long> leftAtItsEnd = new CompletableFuture<>();
        try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), own, scene.kafka())
                .listener(new RelayListener() {
                    @Override
                    public void relayed(int events) {
                        if (!leftAtItsEnd.isDone()) {
                            endItsBackend(how, order, sessions, leftAtItsEnd);
                        }
                    }
                })
                .build()) {
            relay.start();
            assertThat(leftAtItsEnd.get(1, TimeUnit.MINUTES))
                    .as("it was draining")
                    .isPositive();
            awaitDatabase();
            assertThat(complete(MANY, relay)).isLessThanOrEqualTo(IN_FLIGHT);
            Eventually.holds(() -> relay.health().up(), relay::health);
        }
    }

    /** On the relay's thread, so that it has more to drain when it goes on. The result is how many rows there were. */
    private void endItsBackend(How how, String order, int sessions, CompletableFuture<Long> left) {
        try {
            long pending = scene.count(PENDING);
            List<String> backends = scene.strings(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'draining' ORDER BY backend_start "
                            + order);
            if (backends.size() >= sessions) {
                how.end(Long.parseLong(backends.get(0)), scene);
                left.complete(pending);
            } else if (pending == 0) {
                left.completeExceptionally(new AssertionError("it has no such session"));
            }
        } catch (SQLException | AssertionError e) {
            left.completeExceptionally(e);
        }
    }
}
