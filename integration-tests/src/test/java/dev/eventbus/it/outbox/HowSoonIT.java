package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.sql.Shards;
import java.net.URI;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Future;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.postgresql.ds.PGSimpleDataSource;

/** How soon relays find what was committed, and one of them takes over from another. */
@ExtendWith(ServersExtension.class)
@Isolated("says how soon")
class HowSoonIT {

    private static final String OWNED = RelayInstancesIT.OWNED;
    private static final String PENDING = RelayInstancesIT.PENDING;
    private static final Duration LEASE = RelayInstancesIT.LEASE;
    private static final int IN_FLIGHT = RelayInstancesIT.IN_FLIGHT;
    private static final int MANY = RelayInstancesIT.MANY;

    /** What a machine with few cores may add to a time that is promised. */
    private static final Duration SLACK = Duration.ofSeconds(10);

    private static final String SEOUL = "-Duser.timezone=Asia/Seoul";
    private static final String UTC = "-Duser.timezone=UTC";

    @Test
    void relays_nine_time_zones_apart_agree_on_the_owners_and_take_over_within_the_lease(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            try (RelayProcess seoul = RelayProcess.start(scene, LEASE, SEOUL);
                    RelayProcess utc = RelayProcess.start(scene, LEASE, UTC)) {
                RelayInstancesIT.awaitShards(seoul, 8);
                RelayInstancesIT.awaitShards(utc, 8);
                Set<Integer> all = new HashSet<>(seoul.owned());
                all.addAll(utc.owned());
                assertThat(all).hasSize(Shards.COUNT);
                RelayInstancesIT.publishMany(scene, "user");
                assertThat(RelayInstancesIT.complete(scene, MANY))
                        .as("two owners would repeat")
                        .isZero();

                assertThat(takeOver(seoul, utc)).isLessThan(LEASE.plus(SLACK));
                try (RelayProcess again = RelayProcess.start(scene, LEASE, SEOUL)) {
                    RelayInstancesIT.awaitShards(again, 8);
                    RelayInstancesIT.awaitShards(utc, 8);
                    assertThat(takeOver(utc, again)).isLessThan(LEASE.plus(SLACK));
                }
            }
        }
    }

    /** How long it takes from the death of one to the other's having everything. */
    private static Duration takeOver(RelayProcess dying, RelayProcess successor) throws InterruptedException {
        dying.kill();
        long died = System.nanoTime();
        RelayInstancesIT.awaitShards(successor, Shards.COUNT);
        return Duration.ofNanos(System.nanoTime() - died);
    }

    @Test
    void a_relay_whose_database_falls_silent_is_succeeded_within_the_lease(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (LoopbackProxy network = LoopbackProxy.open();
                Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                RelayInstancesIT.Relays relays = new RelayInstancesIT.Relays(scene);
                RelayInstancesIT.Load load = new RelayInstancesIT.Load(scene)) {
            OutboxRelay cutOff = relays.start(through(network, scene));
            RelayInstancesIT.awaitOwners(scene, 1);
            OutboxRelay other = relays.start();
            Eventually.holds(() -> relays.shards().equals(List.of(8, 8)), relays::shards);
            Future<Long> writing = load.begin(LEASE.multipliedBy(4));
            RelayInstancesIT.publishMany(scene, "many");
            network.blackHole();
            long cut = System.nanoTime();
            Eventually.holds(() -> other.health().ownedShards().size() == Shards.COUNT, relays::shards);
            assertThat(Duration.ofNanos(System.nanoTime() - cut)).isLessThan(LEASE.plus(SLACK));
            Eventually.holds(() -> cutOff.health().ownedShards().isEmpty(), cutOff::health);
            assertThat(cutOff.health().up()).isFalse();

            network.heal();
            Eventually.holds(() -> relays.shards().equals(List.of(8, 8)), relays::shards);
            Eventually.holds(() -> cutOff.health().up(), cutOff::health);
            assertThat(RelayInstancesIT.complete(scene, writing.get() + MANY)).isLessThanOrEqualTo(IN_FLIGHT);
        }
    }

    private static DataSource through(LoopbackProxy network, Scene scene) {
        URI server = URI.create(scene.database().getJdbcUrl().substring("jdbc:".length()));
        network.forwardTo(server.getHost() + ":" + server.getPort());
        PGSimpleDataSource database = new PGSimpleDataSource();
        database.setUrl("jdbc:postgresql://%s%s".formatted(network.address(), server.getPath()));
        database.setUser(scene.database().getUsername());
        database.setPassword(scene.database().getPassword());
        return database;
    }

    /** Nobody tells the relay of a commit: it looks after a publish, and in another JVM by itself. */
    @ParameterizedTest(name = "{0} ms after it was published, to a relay in {1}")
    @CsvSource({"1, this JVM", "30, this JVM", "300, this JVM", "1, another", "30, another", "300, another"})
    void an_event_is_found_soon_however_long_its_commit_takes(
            int millis, String where, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                AutoCloseable relay = where.equals("another") ? RelayProcess.start(scene, LEASE) : scene.startRelay()) {
            Eventually.holds(() -> scene.count(OWNED) == Shards.COUNT, () -> relay);
            int events = 20;
            List<Duration> found = new ArrayList<>();
            for (int n = 1; n <= events; n++) {
                int number = n;
                scene.inTransaction(tx -> {
                    scene.outbox().within(tx).publish(SerialisedWriters.event("bob", number));
                    try (Statement statement = tx.createStatement()) {
                        statement.execute("SELECT pg_sleep(%d / 1000.0)".formatted(millis));
                    }
                });
                long committed = System.nanoTime();
                Eventually.holds(() -> scene.count(PENDING) == 0, () -> relay);
                found.add(Duration.ofNanos(System.nanoTime() - committed));
            }
            Collections.sort(found);
            assertThat(found.get(events / 2))
                    .as("the table is read as a whole every 30 s only; median of %s", found)
                    .isLessThan(Duration.ofSeconds(1));
            assertThat(found.get(events - 1)).as("nor does the slowest").isLessThan(Duration.ofSeconds(10));
            assertThat(RelayInstancesIT.complete(scene, events)).isZero();
        }
    }
}
