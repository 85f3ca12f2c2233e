package dev.eventbus.consumer;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.LaneWorkers.Progress;
import dev.eventbus.consumer.internal.OffsetTracker;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;

/** A record that must run alone waits for all others; a handler that does not return must not turn that into a standstill. */
class SuspectTurnsTest {

    private final Partition partition = new Partition(new TopicPartition("t", 0), 1);
    private final List<String> run = new ArrayList<>();
    private Instant now = Instant.parse("2030-01-01T00:00:00Z");
    private LaneWorkers workers = new LaneWorkers(null, 4, this::step, () -> now, e -> {});
    private long offset;
    private boolean suspectRanAlone;
    private Runnable meanwhile = this::takeTurns;

    private Progress step(InFlight record) {
        String key = new String(record.record().key(), UTF_8);
        if (key.equals("suspect") && workers.running() > 1) {
            return Progress.ALONE;
        }
        if (key.equals("suspect")) {
            suspectRanAlone = true;
        }
        run.add(key);
        if (key.equals("hanging")) {
            meanwhile.run();
        }
        return Progress.ENDED;
    }

    private void takeTurns() {
        add("suspect");
        add("other-1");
        workers.runHere();
        assertThat(run).as("the suspect's turn: nothing else starts").containsExactly("hanging");

        now = now.plusSeconds(61);
        workers.runHere();
        assertThat(run).as("the turn of the others").containsExactly("hanging", "other-1");

        now = now.plusSeconds(60);
        add("other-2");
        workers.runHere();
        assertThat(run).as("the suspect's turn again").containsExactly("hanging", "other-1");
    }

    private void add(String key) {
        add(partition, key);
    }

    private void add(Partition partition, String key) {
        byte[] bytes = key.getBytes(UTF_8);
        KeyLane lane = partition.lanes.add(partition, ByteBuffer.wrap(bytes));
        lane.add(partition.register(new ConsumerRecord<>("t", 0, offset++, bytes, bytes)));
        workers.ready(lane);
    }

    @Test
    void others_and_suspects_take_turns_while_a_handler_does_not_return() {
        add("hanging");
        workers.runHere();
        assertThat(run).containsExactly("hanging", "other-1", "suspect", "other-2");
        assertThat(suspectRanAlone).isTrue();
    }

    @Test
    void a_suspect_whose_partition_has_gone_keeps_nobody_waiting() {
        Partition going = new Partition(new TopicPartition("t", 1), 2);
        List<String> whileItWaited = new ArrayList<>();
        List<String> onceItHadGone = new ArrayList<>();
        meanwhile = () -> {
            add(going, "suspect");
            add("other-1");
            workers.runHere();
            whileItWaited.addAll(run);

            going.startOnlyUpTo(OffsetTracker.NOTHING);
            going.dropRefused(lane -> {});
            workers.hire();
            workers.runHere();
            onceItHadGone.addAll(run);
        };
        add("hanging");
        workers.runHere();
        assertThat(whileItWaited).as("the suspect's turn").containsExactly("hanging");
        assertThat(onceItHadGone).containsExactly("hanging", "other-1");
        assertThat(workers.problem()).isNull();
    }

    @Test
    void all_that_waited_behind_a_suspect_that_has_gone_gets_its_workers_at_once() {
        Partition going = new Partition(new TopicPartition("t", 1), 2);
        Deque<Runnable> calls = new ArrayDeque<>();
        List<Integer> called = new ArrayList<>();
        workers = new LaneWorkers(calls::add, 8, this::step, () -> now, e -> {});
        meanwhile = () -> {
            add(going, "suspect");
            calls.remove().run();
            for (int i = 1; i <= 5; i++) {
                add("other-" + i);
            }
            called.add(calls.size());
            going.startOnlyUpTo(OffsetTracker.NOTHING);
            going.dropRefused(lane -> {});
            workers.hire();
            called.add(calls.size());
        };
        add("hanging");
        calls.remove().run();
        assertThat(called.get(0)).as("the suspect's turn").isZero();
        assertThat(called.get(1)).isGreaterThanOrEqualTo(5);
    }
}
