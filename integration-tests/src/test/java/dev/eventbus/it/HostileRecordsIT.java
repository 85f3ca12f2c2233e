package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.faults.wire.LoopbackProxy.Dialogue;
import dev.eventbus.faults.wire.LoopbackProxy.Link;
import dev.eventbus.faults.wire.LoopbackProxy.Way;
import java.io.EOFException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Records that somebody has made who may write to the topic, and means ill; and what a wire does to good ones. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class HostileRecordsIT {

    private static final String MARK = "corrupt-me";

    private final List<String> handled = new CopyOnWriteArrayList<>();

    private ConsumerRunner runner(Scene scene) {
        return ConsumerRunner.builder(scene.kafka(), scene.group("calculator"))
                .on(ASSET_UPDATED, (event, delivery) -> handled.add(event.id()))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    private static byte[] event(String id, String user) {
        return """
                {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s","newAmount":1}
                """.formatted(id, user).getBytes(UTF_8);
    }

    private static DeadLetter onlyLetter(Scene scene) {
        Eventually.holds(() -> scene.records("dlq.events").size() == 1, () -> scene.records("dlq.events"));
        return DeadLetter.of(scene.records("dlq.events").get(0));
    }

    private static Stream<Arguments> headers() {
        return Stream.of(
                many("ten thousand", 10_000, "h-%d", new byte[] {1}),
                many("one more than may be", 65, "h-%d", new byte[] {1}),
                many("ten thousand of one name", 10_000, "same", new byte[] {1}),
                many("ten thousand without a value", 10_000, "h-%d", null),
                many("one of 900 KB", 1, "large", new byte[900_000]),
                many("a name of 900 KB", 1, "n".repeat(900_000), new byte[0]));
    }

    private static Arguments many(String what, int times, String name, byte[] value) {
        Consumer<Headers> add = headers -> {
            for (int i = 0; i < times; i++) {
                headers.add(name.formatted(i), value);
            }
        };
        return Arguments.of(what, add);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("headers")
    void headers_beyond_all_measure_are_dead_lettered_as_such_and_the_key_goes_on(
            String what, Consumer<Headers> add, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1", "dlq.events:1")) {
            send(scene, event("evt-1", "mallory"), add);
            scene.sendRaw("asset.events", "mallory", event("evt-2", "mallory"));
            scene.start(runner(scene));

            DeadLetter letter = onlyLetter(scene);
            assertThat(letter.origin().reason()).as(what).isEqualTo(FailureReason.HEADER_LIMIT);
            assertThat(letter.value()).isEqualTo(event("evt-1", "mallory"));
            Eventually.holds(() -> handled.equals(List.of("evt-2")), () -> handled);
        }
    }

    private static void send(Scene scene, byte[] value, Consumer<Headers> add) {
        ProducerRecord<byte[], byte[]> record =
                new ProducerRecord<>(scene.kafka().physicalTopic("asset.events"), "mallory".getBytes(UTF_8), value);
        add.accept(record.headers());
        scene.send(record);
        scene.flush();
    }

    private static Stream<Arguments> odd() {
        return Stream.of(
                one("no value", "tenant", null),
                one("no name", "", new byte[] {1}),
                one("no text", "tenant", new byte[] {(byte) 0xff, (byte) 0xfe}),
                one("a line's end", "tenant", "a\r\nb".getBytes(UTF_8)));
    }

    private static Arguments one(String what, String name, byte[] value) {
        Consumer<Headers> twice = headers -> headers.add(name, value).add(name, value);
        return Arguments.of(what, twice);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("odd")
    void headers_that_are_merely_odd_do_no_harm(
            String what, Consumer<Headers> add, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1", "dlq.events:1")) {
            send(scene, event("evt-1", "mallory"), add);
            scene.start(runner(scene));
            Eventually.holds(() -> handled.equals(List.of("evt-1")), () -> what + handled);
            assertThat(scene.records("dlq.events")).isEmpty();
        }
    }

    /** A wire, or a disk, that turns a bit: the checksum of the batch is wrong. */
    private static final class Flipping implements LoopbackProxy.Protocol {

        private final AtomicBoolean on = new AtomicBoolean(true);
        private final AtomicInteger flipped = new AtomicInteger();

        @Override
        public Dialogue begin(Link link) {
            return (way, from) -> {
                byte[] chunk = new byte[64 * 1024];
                int length = from.read(chunk);
                if (length < 0) {
                    throw new EOFException();
                }
                byte[] piece = Arrays.copyOf(chunk, length);
                int at = new String(piece, java.nio.charset.StandardCharsets.ISO_8859_1).indexOf(MARK);
                if (way == Way.TO_CLIENT && at >= 0 && on.get()) {
                    piece[at] ^= 1;
                    flipped.incrementAndGet();
                }
                link.write(way, piece);
            };
        }
    }

    @Test
    void a_batch_with_a_wrong_checksum_is_neither_handled_nor_skipped_and_is_read_once_it_comes_whole(
            PostgresServer postgres) throws Exception {
        Flipping wire = new Flipping();
        try (LoopbackProxy network = LoopbackProxy.open(wire);
                EmbeddedKafka broker =
                        EmbeddedKafka.builder().advertisedPorts(network.port()).start()) {
            network.forwardTo(broker.address(1));
            try (Scene scene = Scene.create(broker, postgres, "asset.events:1", "dlq.events:1")) {
                List<String> sent = new ArrayList<>(List.of("before", MARK, "after"));
                for (String id : sent) {
                    scene.sendRaw("asset.events", "alice", event(id, "alice"));
                    scene.flush(); // each a batch of its own
                }
                ConsumerRunner runner = scene.start(runner(scene));
                Eventually.holds(
                        () -> wire.flipped.get() >= 3
                                && !runner.health().problems().isEmpty(),
                        () -> wire.flipped + " " + runner.health());
                assertThat(handled).isSubsetOf("before");
                assertThat(scene.committed(scene.group("calculator"), "asset.events"))
                        .isLessThan(2);

                wire.on.set(false);
                Eventually.holds(() -> handled.equals(sent), () -> handled + " " + runner.health());
                assertThat(scene.records("dlq.events")).isEmpty();
                Eventually.holds(() -> runner.health().problems().isEmpty(), runner::health);
            }
        }
    }
}
