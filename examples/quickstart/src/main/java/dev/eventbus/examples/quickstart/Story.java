package dev.eventbus.examples.quickstart;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.EventHeaders;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.consumer.redrive.RedriveResult;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** What is shown, act by act. An act waits for what it has set going, never for a length of time. */
final class Story {

    private static final List<String> USERS = List.of("alice", "carol", "dave", "erin", "frank");
    private static final Duration LIMIT = Duration.ofMinutes(1);

    private final Stage stage;
    private final Commentary commentary;
    private final Screen screen;

    Story(Stage stage, Commentary commentary, Screen screen) {
        this.stage = stage;
        this.commentary = commentary;
        this.screen = screen;
    }

    /** The acts before somebody fails. */
    void play() throws Exception {
        await("the Calculator to have its partitions", stage::isReady);
        screen.say("\n1  A committed change is relayed and handled");
        publishSome();
        awaitSettled();

        screen.say("\n2  A transaction that is rolled back leaves no event");
        rollBack();

        screen.say("\n3  The same event twice on the wire has one effect");
        deliverAgain();
    }

    /** One user fails; ends when the user's events wait. */
    void failForBob() throws Exception {
        screen.say("\n4  One user fails: 4 attempts with growing delays, then the key is parked; all others flow");
        int parked = commentary.parked();
        stage.breakHandlerFor("bob");
        addAsset("bob", 1);
        addAsset("bob", 2);
        publishSome();
        await("bob's events to be parked", () -> commentary.parked() == parked + 2);
    }

    void failForBobThenRedrive() throws Exception {
        failForBob();
        screen.say("\n5  The handler is fixed, and what was set aside comes back in order");
        fixOrBreak();
        redrive();
    }

    void redrive() throws Exception {
        RedrivePlan plan = Monitoring.plan(stage.kafka(), stage.inbox());
        screen.happened("redrive", "plan: " + plan);
        RedriveResult result = plan.run("the price service answers again");
        screen.happened(
                "redrive",
                "%d events went back to their group, %d are handled".formatted(result.handedOver(), result.applied()));
    }

    void fixOrBreak() {
        if (stage.fixHandler()) {
            screen.happened("you", "the handler is fixed");
        } else {
            stage.breakHandlerFor("bob");
            screen.happened("you", "the handler is broken for bob");
        }
    }

    void publishForEverybody() throws SQLException {
        addAsset("bob", 10);
        publishSome();
    }

    /** One change for each user but bob. */
    private void publishSome() throws SQLException {
        for (String user : USERS) {
            addAsset(user, 100);
        }
        commentary.committed("alice", "HOUSING_UPDATED", stage.housing().changePrice("alice", "house-7"));
    }

    void awaitSettled() throws Exception {
        await("every event handled or set aside", () -> tally().isSettled());
    }

    void awaitHandled() throws Exception {
        await("every event handled", () -> tally().isHandled());
    }

    Tally tally() throws SQLException {
        return Tally.take(stage.dataSource(), stage.kafka());
    }

    private void addAsset(String user, long amount) throws SQLException {
        commentary.committed(user, "ASSET_UPDATED", stage.assets().add(user, amount));
    }

    private void rollBack() throws Exception {
        String id = stage.assets().addAndRollBack("alice", 500);
        addAsset("alice", 100);
        awaitSettled();
        boolean sent = records().stream().anyMatch(record -> id.equals(idOf(record)));
        screen.happened("rollback", "alice  %s".formatted(sent ? "is in Kafka: WRONG" : "left no row and no record"));
    }

    private void deliverAgain() throws Exception {
        int repeats = commentary.repeats();
        ConsumerRecord<byte[], byte[]> first = records().get(0);
        try (Producer<byte[], byte[]> producer = stage.kafka().producer(Map.of())) {
            producer.send(new ProducerRecord<>(
                            first.topic(), first.partition(), null, first.key(), first.value(), first.headers()))
                    .get();
        }
        await("the repeat to be recognised", () -> commentary.repeats() > repeats);
    }

    private List<ConsumerRecord<byte[], byte[]>> records() {
        return Topic.readAll(stage.kafka(), Events.ASSET_UPDATED.topic());
    }

    private static String idOf(ConsumerRecord<byte[], byte[]> record) {
        return new String(record.headers().lastHeader(EventHeaders.ID).value(), UTF_8);
    }

    private static void await(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + LIMIT.toNanos();
        while (!condition.call()) {
            if (System.nanoTime() - deadline > 0) {
                throw new IllegalStateException("waited in vain for " + what);
            }
            LockSupport.parkNanos(Duration.ofMillis(20).toNanos());
        }
    }
}
