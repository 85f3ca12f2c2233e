package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.P0;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.RunnerListener.OffsetGap;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;

class AssignedPartitionsTest {

    private final List<InFlight> dropped = new ArrayList<>();
    private int walks;
    private final List<KeyLane> woken = new ArrayList<>();
    private final AssignedPartitions assigned = inLoop(
            records -> {
                dropped.addAll(records);
                walks++;
            },
            woken::add);

    /** Of a loop that does nothing. */
    static AssignedPartitions inNoLoop() {
        return inLoop(dropped -> {}, lane -> {});
    }

    private static AssignedPartitions inLoop(Consumer<Collection<InFlight>> drops, Consumer<? super KeyLane> ready) {
        return new AssignedPartitions(
                new AssignedPartitions.Loop() {
                    @Override
                    public boolean pumpUntil(BooleanSupplier condition, Duration limit) {
                        return condition.getAsBoolean();
                    }

                    @Override
                    public void commitNow(Collection<Partition> partitions) {}

                    @Override
                    public void dropped(Collection<InFlight> records) {
                        drops.accept(records);
                    }

                    @Override
                    public Instant finishBy() {
                        return Instant.MIN;
                    }
                },
                ready,
                RunnerListener.NONE,
                Duration.ofSeconds(1));
    }

    /** The loop's queue of reports has the stop, and the lane of the record is forgotten before that is looked at. */
    @Test
    void nothing_behind_a_record_that_stops_its_partition_is_given_to_the_workers() {
        Partition partition = assigned(P0);
        InFlight stops = add(partition, 5);
        KeyLane lane = assigned.laneOf(partition, record(5).key());
        lane.begin();
        List<InFlight> behind = List.of(add(partition, 6), add(partition, 7));
        add(partition, 8);
        assigned.laneOf(partition, record(8).key()).begin(); // it runs beside
        lane.letGo();
        assigned.released(lane, stops);
        assigned.letGo(partition, stops);
        assertThat(woken).isEmpty();
        assertThat(dropped).containsExactlyInAnyOrderElementsOf(behind);
    }

    @Test
    void a_hand_over_starts_nothing_behind_a_record_of_which_a_worker_says_that_it_stops_the_partition() {
        Partition partition = assigned(P0);
        InFlight before = add(partition, 5);
        InFlight stops = add(partition, 6);
        InFlight behind = add(partition, 7);
        partition.offsets().ended(add(partition, 8).slot());
        assigned.laneOf(partition, record(6).key()).begin();
        partition.stopsAt(stops);
        assertThat(partition.isClosed()).isTrue();
        assigned.closeAll(); // before there is a report
        assertThat(partition.mayStart(before)).isTrue();
        assertThat(partition.mayStart(behind)).isFalse();
    }

    @Test
    void a_batch_that_was_not_taken_is_read_again_from_what_is_unfinished_before_it() {
        MockKafka.ScriptedConsumer consumer = new MockKafka.ScriptedConsumer();
        consumer.assign(List.of(P0));
        assigned.onPartitionsAssigned(List.of(P0));
        Partition partition = Objects.requireNonNull(assigned.get(P0));
        add(partition, 5); // runs, or waits
        partition.offsets().ended(add(partition, 6).slot());
        add(partition, 7); // the batch had come this far
        assigned.readAgain(consumer, new ConsumerRecords<>(Map.of(P0, List.of(record(7), record(8))), Map.of()));

        assertThat(consumer.position(P0)).isEqualTo(5);
        assertThat(assigned.isCurrent(partition)).isFalse();
        assertThat(assigned.get(P0)).isNotNull();
        assertThat(dropped).extracting(one -> one.record().offset()).contains(5L, 7L);
    }

    @Test
    void K_10_of_what_was_read_before_a_gap_a_record_that_fails_for_good_stops_only_what_is_behind_it() {
        Partition partition = assigned(P0);
        InFlight first = add(partition, 5);
        InFlight fails = add(partition, 6);
        InFlight behind = add(partition, 7);
        partition.takeNothingMore();
        assigned.laneOf(partition, record(6).key()).begin();
        partition.stopsAt(fails); // as its worker does, until the poll thread has seen why
        assigned.letGo(partition, fails);
        assertThat(dropped).contains(behind).doesNotContain(first);
        assertThat(partition.mayStart(first)).isTrue();
        assertThat(partition.mayStart(behind)).isFalse();
    }

    @Test
    void K_10_a_gap_that_is_met_while_a_failure_is_reported_drops_nothing_before_that() {
        Partition partition = assigned(P0);
        InFlight first = add(partition, 5);
        InFlight fails = add(partition, 6);
        assigned.laneOf(partition, record(6).key()).begin();
        partition.stopsAt(fails);
        assigned.passed(P0, new OffsetGap(P0.topic(), 0, 8, 100), true);
        assigned.letGo(partition, fails);
        assertThat(dropped).doesNotContain(first);
        assertThat(partition.mayStart(first)).isTrue();
    }

    @Test
    void keys_are_told_apart_by_their_bytes_also_where_they_are_no_text() {
        Partition partition = assigned(P0);
        KeyLane one = assigned.laneOf(partition, new byte[] {(byte) 0xff});
        KeyLane other = assigned.laneOf(partition, new byte[] {(byte) 0xfe});
        assertThat(one).isNotSameAs(other);
        assertThat(assigned.laneOf(partition, new byte[] {(byte) 0xff})).isSameAs(one);
    }

    @Test
    void closing_walks_the_lanes_once_however_often_it_is_said_that_nothing_more_starts() {
        Partition partition = assigned(P0);
        add(partition, 5);
        assigned.closeAll();
        assigned.startNothingMore();
        int before = walks;
        for (int look = 0; look < 100; look++) {
            assigned.startNothingMore();
        }
        assertThat(walks).isEqualTo(before);
        assertThat(partition.inFlight()).isZero();
    }

    @Test
    void a_record_that_comes_to_wait_while_its_closing_partition_is_looked_at_is_not_let_go_needlessly() {
        Partition partition = assigned(P0);
        InFlight fails = add(partition, 5);
        partition.offsets().ended(add(partition, 6).slot()); // the next owner would repeat it
        KeyLane lane = assigned.laneOf(partition, record(5).key());
        lane.begin();
        partition.startNothing(); // as the poll thread does for as long as it looks
        assertThat(lane.waits(Instant.MIN)).isTrue();

        assigned.closeAll();
        assertThat(dropped).doesNotContain(fails);
        assertThat(lane.isWaiting()).isTrue();
        assertThat(lane.wake()).isTrue();
        assertThat(lane.begin()).isSameAs(fails);
    }

    @Test
    void a_record_that_came_to_wait_meanwhile_is_dropped_if_it_is_not_worth_finishing() {
        Partition partition = assigned(P0);
        InFlight fails = add(partition, 5);
        KeyLane lane = assigned.laneOf(partition, record(5).key());
        lane.begin();
        partition.startNothing();
        lane.waits(Instant.MIN);
        assigned.closeAll();
        assertThat(dropped).containsExactly(fails);
        assertThat(partition.inFlight()).isZero();
    }

    @Test
    void a_stop_in_a_lost_partition_does_not_keep_others_of_it_from_being_let_go_so_that_their_keys_go_on() {
        Partition lost = assigned(P0);
        InFlight fails = add(lost, 5);
        KeyLane zombie = assigned.laneOf(lost, record(5).key());
        zombie.begin();
        assigned.onPartitionsLost(List.of(P0));
        lost.stopsAt(fails); // a worker, for another record of it
        assertThat(zombie.waits(Instant.MAX)).isFalse();

        Partition now = assigned(P0);
        add(now, 5);
        KeyLane held = assigned.laneOf(now, record(5).key());
        assertThat(held.begin()).isNull();
        zombie.letGo();
        assertThat(assigned.released(zombie, fails)).isSameAs(held);
        assertThat(held.begin()).isNotNull();
    }

    @Test
    void however_often_a_partition_comes_back_while_an_old_handler_of_it_runs_only_that_one_epoch_is_remembered()
            throws InterruptedException {
        Partition first = assigned(P0);
        InFlight runs = add(first, 5);
        KeyLane zombie = assigned.laneOf(first, record(5).key());
        zombie.begin();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Partition[] last = {first};
        Thread shallow = new Thread(
                null,
                () -> {
                    for (int hop = 0; hop < 10_000; hop++) {
                        last[0] = assigned.restart(last[0]);
                    }
                },
                "with little stack",
                128 * 1024);
        shallow.setUncaughtExceptionHandler((thread, e) -> failure.set(e));
        shallow.start();
        shallow.join();
        assertThat(failure).hasNullValue();
        assertThat(last[0].isAtRest()).isFalse();
        assigned.released(zombie, runs);
        assertThat(last[0].isAtRest()).isTrue();
    }

    @Test
    void epochs_that_have_ended_are_forgotten_also_between_others_that_run() {
        Partition first = assigned(P0);
        first.register(record(5));
        Partition second = assigned.restart(first);
        InFlight ended = second.register(record(6));
        Partition third = assigned.restart(second);
        third.register(record(7));
        Partition fourth = assigned.restart(third);
        assertThat(fourth.epochsBefore()).isEqualTo(3);
        second.left(ended);
        assertThat(fourth.isAtRest()).isFalse();
        assertThat(fourth.epochsBefore()).isEqualTo(2);
    }

    private Partition assigned(TopicPartition id) {
        assigned.onPartitionsAssigned(List.of(id));
        return Objects.requireNonNull(assigned.get(id));
    }

    private InFlight add(Partition partition, long offset) {
        InFlight added = partition.register(record(offset));
        assigned.laneOf(partition, record(offset).key()).add(added);
        return added;
    }

    private static ConsumerRecord<byte[], byte[]> record(long offset) {
        return new ConsumerRecord<>(P0.topic(), P0.partition(), offset, ("k" + offset).getBytes(UTF_8), new byte[0]);
    }
}
