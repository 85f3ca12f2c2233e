package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.faults.crash.HaltPoint;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.it.outbox.HaltingOperator.Deed;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.RelayListener;
import dev.eventbus.outbox.SendMode;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A relay's process, or a person's, ends without a word while a key is being blocked or let go on: no event is lost, and none is sent
 * before one that it stands behind.
 */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class BlockingCrashesIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";
    private static final String BLOCKED = "SELECT event_id FROM eventbus_blocked_key WHERE reason <> 'UNBLOCKED'";
    private static final Duration LEASE = Duration.ofSeconds(1);
    private static final int TOO_SMALL = 5_000;
    private static final int LARGE_ENOUGH = 100_000;

    private final Scene scene;

    BlockingCrashesIT(KafkaServer kafka, PostgresServer postgres) throws SQLException {
        scene = Scene.create(kafka, postgres, "asset.events:1");
    }

    @AfterEach
    void close() throws Exception {
        scene.close();
    }

    private static Event<AssetUpdated> asset(String id, String user) {
        return Event.of(ASSET_UPDATED, id, Instant.EPOCH, AssetUpdated.amount(user, 1));
    }

    private void publish(Event<?>... events) throws SQLException {
        scene.inTransaction(tx -> scene.outbox().within(tx).publishAll(List.of(events)));
    }

    private OutboxAdmin admin() {
        return OutboxAdmin.of(scene.outbox(), scene.database());
    }

    /** Each once, however often it came: a crash may repeat. */
    private List<String> sent(String key) {
        return scene.records("asset.events").stream()
                .filter(record -> new String(record.key(), UTF_8).equals(key))
                .map(SerialisedWriters::id)
                .distinct()
                .toList();
    }

    private void awaitPending(int rows, OutboxRelay relay) {
        Eventually.holds(() -> scene.count(PENDING) == rows, relay::health);
    }

    @ParameterizedTest
    @CsvSource({
        "REFUSED, PIPELINED",
        "BEFORE_BLOCK, PIPELINED",
        "BEFORE_COMMIT, PIPELINED",
        "AFTER_COMMIT, PIPELINED",
        "REFUSED, STRICT"
    })
    void wherever_a_relay_halts_while_it_blocks_a_key_the_key_waits_and_goes_on_in_order(
            CrashPoint.Place place, SendMode mode) throws Exception {
        RecordLimit.set(scene, "asset.events", TOO_SMALL);
        publish(asset("evt-1", "bob"), RecordLimit.large("evt-2", "bob"), asset("evt-3", "bob"), asset("evt-4", "eve"));
        try (RelayProcess halts = RelayProcess.start(
                scene,
                LEASE,
                "-D%s=%s".formatted(CrashPoint.PROPERTY, place),
                "-D%s=%s".formatted(RelayMain.SEND_MODE, mode))) {
            assertThat(halts.awaitEnd()).as(halts::toString).isEqualTo(HaltPoint.AS_BY_SIGKILL);
        }
        assertThat(scene.strings(BLOCKED)).as("at %s", place).hasSize(place == CrashPoint.Place.AFTER_COMMIT ? 1 : 0);

        OutboxRelay successor = scene.startRelay();
        awaitPending(2, successor);
        Eventually.holds(() -> scene.strings(BLOCKED).equals(List.of("evt-2")), successor::health);
        publish(asset("evt-5", "bob"), asset("evt-6", "eve"));
        awaitPending(3, successor);
        assertThat(sent("bob")).as("what stands behind it waits").containsExactly("evt-1");
        assertThat(sent("eve")).containsExactly("evt-4", "evt-6");

        RecordLimit.set(scene, "asset.events", LARGE_ENOUGH);
        assertThat(admin().unblock("asset.events", "bob")).isTrue();
        awaitPending(0, successor);
        assertThat(sent("bob")).containsExactly("evt-1", "evt-2", "evt-3", "evt-5");
        assertThat(scene.strings(BLOCKED)).isEmpty();
    }

    @ParameterizedTest
    @CsvSource({
        "UNBLOCK, BEFORE_COMMIT:1",
        "UNBLOCK, AFTER_COMMIT:1",
        "DISCARD, BEFORE_COMMIT:2",
        "DISCARD, AFTER_COMMIT:2"
    })
    void a_person_who_halts_before_the_commit_has_done_nothing_and_after_it_all(Deed deed, String place)
            throws Exception {
        scene.execute(HaltingOperator.CREATE_KEPT);
        RecordLimit.set(scene, "asset.events", TOO_SMALL);
        publish(asset("evt-1", "bob"), RecordLimit.large("evt-2", "bob"), asset("evt-3", "bob"));
        OutboxRelay relay = scene.startRelay();
        Eventually.holds(() -> scene.strings(BLOCKED).equals(List.of("evt-2")), relay::health);
        awaitPending(2, relay);
        RecordLimit.set(scene, "asset.events", LARGE_ENOUGH);

        assertThat(HaltingOperator.run(scene, deed, "bob", "evt-2", place)).isEqualTo(HaltPoint.AS_BY_SIGKILL);
        if (place.startsWith("BEFORE")) {
            assertThat(scene.strings(BLOCKED)).containsExactly("evt-2");
            assertThat(scene.count(PENDING)).isEqualTo(2);
            HaltingOperator.act(admin(), scene.database(), deed, "bob", "evt-2");
        }
        publish(asset("evt-4", "bob"));
        awaitPending(0, relay);
        boolean discarded = deed == Deed.DISCARD;
        assertThat(sent("bob"))
                .containsExactlyElementsOf(
                        discarded ? List.of("evt-1", "evt-3", "evt-4") : List.of("evt-1", "evt-2", "evt-3", "evt-4"));
        assertThat(scene.strings(HaltingOperator.KEPT))
                .containsExactlyElementsOf(discarded ? List.of("evt-2") : List.of());
        assertThat(scene.strings(BLOCKED)).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"BEFORE_SEND:1", "BEFORE_DELETE:1", "AFTER_DELETE:1"})
    void what_a_person_has_let_through_is_sent_in_order_and_not_blocked_again_if_the_relay_halts_over_it(String crash)
            throws Exception {
        publish(asset("old-1", "bob"), asset("old-2", "bob"), asset("old-3", "bob"));
        scene.execute("UPDATE eventbus_outbox SET created_at = created_at - interval '8 days'");
        try (RelayProcess halts = RelayProcess.startToCrash(scene, LEASE, crash)) {
            Eventually.holds(() -> scene.strings(BLOCKED).equals(List.of("old-1")), () -> halts);
            assertThat(admin().unblock("asset.events", "bob")).isTrue();
            assertThat(halts.awaitEnd()).as(halts::toString).isEqualTo(HaltPoint.AS_BY_SIGKILL);
        }
        publish(asset("young", "bob"));
        List<String> blockedAgain = new CopyOnWriteArrayList<>();
        try (OutboxRelay successor = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                .listener(new RelayListener() {
                    @Override
                    public void keyBlocked(String eventId, String topic, String reason) {
                        blockedAgain.add(eventId);
                    }
                })
                .build()) {
            successor.start();
            awaitPending(0, successor);
        }
        assertThat(sent("bob")).containsExactly("old-1", "old-2", "old-3", "young");
        assertThat(blockedAgain).isEmpty();
    }
}
