package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.MockKafka.P1;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.MockKafka.ScriptedConsumer;
import dev.eventbus.consumer.internal.CrashWatch;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.MockConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetCommitCallback;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class OffsetCommitterTest {

    private static final int WINDOW = 10_500;

    private static final Instant NOW = Instant.parse("2030-01-01T00:00:00Z");

    private final OffsetCommitter committer = new OffsetCommitter(RunnerListener.NONE, 0);
    private final Partition partition = new Partition(P0, 1);

    @Test
    void one_commit_is_on_its_way_at_a_time() {
        Silent consumer = new Silent();
        end(0);
        committer.commitIfDue(consumer, List.of(partition), NOW);
        end(1);
        committer.commitIfDue(consumer, List.of(partition), NOW.plusSeconds(1));
        assertThat(consumer.asked).containsExactly(Map.of(P0, new OffsetAndMetadata(1)));

        consumer.answer();
        committer.commitIfDue(consumer, List.of(partition), NOW.plusSeconds(2));
        assertThat(consumer.asked).hasSize(2).last().isEqualTo(Map.of(P0, new OffsetAndMetadata(2)));
    }

    @Test
    void a_commit_that_its_consumer_never_answers_holds_up_none_of_the_consumer_after_it() {
        Silent ended = new Silent();
        end(0);
        committer.commitIfDue(ended, List.of(partition), NOW);
        Silent next = new Silent();
        committer.commitIfDue(next, List.of(partition), NOW.plusSeconds(1));
        assertThat(next.asked).hasSize(1);

        ended.answer(); // late
        committer.commitIfDue(next, List.of(partition), NOW.plusSeconds(2));
        assertThat(next.asked).as("its own is on its way").hasSize(1);
    }

    @Test
    void a_commit_is_due_when_something_has_ended_none_is_on_its_way_and_the_last_one_is_not_too_new() {
        Silent consumer = new Silent();
        List<Partition> all = List.of(partition);
        assertThat(committer.isDue(consumer, all, NOW)).as("nothing has ended").isFalse();
        end(0);
        assertThat(committer.isDue(consumer, all, NOW)).isTrue();
        committer.commitIfDue(consumer, all, NOW);
        assertThat(committer.isDue(consumer, all, NOW.plusSeconds(1)))
                .as("on its way")
                .isFalse();
        consumer.answer();
        end(1);
        assertThat(committer.isDue(consumer, all, NOW.plusMillis(99)))
                .as("too soon")
                .isFalse();
        assertThat(committer.isDue(consumer, all, NOW.plusMillis(100))).isTrue();
    }

    @Test
    void a_commit_that_is_not_answered_for_long_is_told_until_it_is() {
        Silent consumer = new Silent();
        end(0);
        committer.commitIfDue(consumer, List.of(partition), NOW);
        committer.commitIfDue(consumer, List.of(partition), NOW.plusSeconds(30));
        assertThat(committer.problem()).as("a coordinator may take its time").isNull();
        committer.commitIfDue(consumer, List.of(partition), NOW.plusSeconds(41));
        assertThat(committer.problem()).contains("offsets cannot be committed", NOW.toString());

        consumer.answer();
        assertThat(committer.problem()).isNull();
    }

    @Test
    void a_clean_hand_over_is_noted_only_when_nothing_runs_any_more_of_whatever_epoch() {
        AssignedPartitions assigned = AssignedPartitionsTest.inNoLoop();
        OffsetCommitter noting = new OffsetCommitter(RunnerListener.NONE, WINDOW);
        ScriptedConsumer consumer = consumerOf(P0);
        assigned.onPartitionsAssigned(List.of(P0));
        Partition lost = Objects.requireNonNull(assigned.get(P0));
        InFlight zombie = lost.register(record(5));
        KeyLane lane = assigned.laneOf(lost, null);
        lane.add(zombie);
        lane.begin();
        assigned.onPartitionsLost(List.of(P0));
        assigned.onPartitionsAssigned(List.of(P0));
        Partition again = Objects.requireNonNull(assigned.get(P0));
        InFlight ended = again.register(record(6));
        again.offsets().ended(ended.slot());
        again.left(ended);
        assigned.closeAll();

        noting.commitNow(consumer, assigned.all(), OffsetCommitter.LONGEST_SYNC);
        assertThat(consumer.commits).containsEntry(P0, new OffsetAndMetadata(7));

        assigned.released(lane, zombie);
        noting.commitNow(consumer, assigned.all(), OffsetCommitter.LONGEST_SYNC);
        assertThat(consumer.commits).containsEntry(P0, new OffsetAndMetadata(7, OffsetCommitter.HANDED_OVER));
    }

    @Test
    void a_hand_over_is_not_clean_while_a_record_that_is_under_suspicion_has_not_ended() {
        OffsetCommitter noting = new OffsetCommitter(RunnerListener.NONE, WINDOW);
        ScriptedConsumer consumer = consumerOf(P0);
        consumer.commits.put(P0, new OffsetAndMetadata(5)); // whoever it was told nothing
        Partition dubious = takenOver(noting, consumer);
        InFlight open = noting.watched(dubious, dubious.register(record(5)));
        InFlight ended = noting.watched(dubious, dubious.register(record(6)));
        dubious.offsets().ended(ended.slot());
        dubious.left(ended);
        dubious.left(open); // let go: the next owner runs it, and must know
        dubious.close(Instant.MIN);
        noting.commitNow(consumer, List.of(dubious), OffsetCommitter.LONGEST_SYNC);
        assertThat(consumer.commits).containsEntry(P0, new OffsetAndMetadata(5));

        dubious.offsets().ended(open.slot());
        noting.commitNow(consumer, List.of(dubious), OffsetCommitter.LONGEST_SYNC);
        assertThat(consumer.commits).containsEntry(P0, new OffsetAndMetadata(7, OffsetCommitter.HANDED_OVER));
    }

    @Test
    void a_hand_over_is_clean_once_all_that_was_under_suspicion_has_ended_though_later_records_are_let_go() {
        OffsetCommitter noting = new OffsetCommitter(RunnerListener.NONE, WINDOW);
        ScriptedConsumer consumer = consumerOf(P0);
        consumer.commits.put(P0, new OffsetAndMetadata(5)); // whoever it was told nothing
        Partition dubious = takenOver(noting, consumer);
        for (long offset = 5; offset < 5 + WINDOW; offset++) {
            InFlight watched = noting.watched(dubious, dubious.register(record(offset)));
            dubious.offsets().ended(watched.slot());
            dubious.left(watched);
        }
        InFlight later = noting.watched(dubious, dubious.register(record(5 + WINDOW)));
        assertThat(later.suspicion().isNone()).isTrue();
        dubious.left(later); // let go
        dubious.close(Instant.MIN);
        noting.commitNow(consumer, List.of(dubious), OffsetCommitter.LONGEST_SYNC);
        assertThat(consumer.commits).containsEntry(P0, new OffsetAndMetadata(5 + WINDOW, OffsetCommitter.HANDED_OVER));
    }

    @Test
    void as_many_records_are_watched_as_may_have_been_open_with_one_poll_of_the_size_that_is_set() {
        MockKafka kafka = MockKafka.create();
        assertThat(CrashWatch.window(kafka)).isEqualTo(WINDOW);
        kafka.settings.put("max.poll.records", "3000");
        assertThat(CrashWatch.window(kafka)).isEqualTo(13_000);
        kafka.settings.put("max.poll.records", Integer.toString(Integer.MAX_VALUE));
        assertThat(CrashWatch.window(kafka)).isEqualTo(Integer.MAX_VALUE);
        kafka.settings.put("max.poll.records", "many");
        assertThatThrownBy(() -> CrashWatch.window(kafka)).hasMessageContaining("max.poll.records");
    }

    @Test
    void a_partition_that_was_handed_over_in_order_is_believed_once_that_note_is_off() {
        OffsetCommitter noting = new OffsetCommitter(RunnerListener.NONE, WINDOW);
        ScriptedConsumer consumer = consumerOf(P0);
        consumer.commits.put(P0, new OffsetAndMetadata(5, OffsetCommitter.HANDED_OVER));
        Partition taken = takenOver(noting, consumer);
        assertThat(consumer.commits).containsEntry(P0, new OffsetAndMetadata(5));
        assertThat(noting.watched(taken, taken.register(record(5))).suspicion().isNone())
                .isTrue();
    }

    /** A crash would leave the note of the owner before, which is then no longer true. */
    @Test
    void a_partition_whose_note_could_not_be_taken_off_is_watched_as_if_it_had_none() {
        OffsetCommitter noting = new OffsetCommitter(RunnerListener.NONE, WINDOW);
        ScriptedConsumer consumer = consumerOf(P0);
        consumer.commits.put(P0, new OffsetAndMetadata(5, OffsetCommitter.HANDED_OVER));
        consumer.failCommitsWith = new TimeoutException("no coordinator");
        Partition taken = takenOver(noting, consumer);
        InFlight first = taken.register(record(5));
        assertThat(noting.watched(taken, first).suspicion().isNone()).isFalse();

        consumer.failCommitsWith = null;
        taken.offsets().ended(first.slot());
        noting.commitIfDue(consumer, List.of(taken), NOW);
        assertThat(noting.watched(taken, taken.register(record(6))).suspicion().isNone())
                .as("that commit has taken it off")
                .isTrue();
    }

    @Test
    void the_note_of_the_owner_before_stays_where_nothing_is_started() {
        OffsetCommitter noting = new OffsetCommitter(RunnerListener.NONE, WINDOW);
        ScriptedConsumer consumer = consumerOf(P0);
        consumer.commits.put(P0, new OffsetAndMetadata(5, OffsetCommitter.HANDED_OVER));
        AssignedPartitions assigned = AssignedPartitionsTest.inNoLoop();
        assigned.closeAll();
        assigned.onPartitionsAssigned(List.of(P0));
        noting.takeOver(consumer, new ConsumerRecords<>(Map.of(P0, List.of(record(5))), Map.of()), assigned);
        assertThat(consumer.commits).containsEntry(P0, new OffsetAndMetadata(5, OffsetCommitter.HANDED_OVER));
    }

    private static Partition takenOver(OffsetCommitter noting, ScriptedConsumer consumer) {
        AssignedPartitions assigned = AssignedPartitionsTest.inNoLoop();
        assigned.onPartitionsAssigned(List.of(P0));
        noting.takeOver(consumer, new ConsumerRecords<>(Map.of(P0, List.of(record(5))), Map.of()), assigned);
        return Objects.requireNonNull(assigned.get(P0));
    }

    /** Compacted records or markers of transactions alone: there is nothing to start. */
    @ParameterizedTest
    @ValueSource(strings = {OffsetCommitter.HANDED_OVER, ""})
    void where_nothing_has_begun_the_note_of_the_owner_before_stands_for_the_next_one(String note) {
        OffsetCommitter noting = new OffsetCommitter(RunnerListener.NONE, WINDOW);
        ScriptedConsumer consumer = consumerOf(P0);
        consumer.commits.put(P0, new OffsetAndMetadata(5, note));
        partition.offsets().reached(8);
        noting.commitIfDue(consumer, List.of(partition), NOW);
        assertThat(consumer.commits).containsEntry(P0, new OffsetAndMetadata(8, note));

        partition.offsets().reached(9);
        partition.close(Instant.MIN);
        noting.commitNow(consumer, List.of(partition), OffsetCommitter.LONGEST_SYNC);
        assertThat(consumer.commits).containsEntry(P0, new OffsetAndMetadata(9, note));
    }

    @Test
    void where_nothing_has_begun_and_nobody_was_before_nobody_need_be_suspected() {
        OffsetCommitter noting = new OffsetCommitter(RunnerListener.NONE, WINDOW);
        ScriptedConsumer consumer = consumerOf(P0);
        partition.offsets().reached(8);
        noting.commitIfDue(consumer, List.of(partition), NOW);
        assertThat(consumer.commits).containsEntry(P0, new OffsetAndMetadata(8, OffsetCommitter.HANDED_OVER));
    }

    @Test
    void while_the_note_cannot_be_read_that_partition_is_left_out_and_others_are_committed() {
        OffsetCommitter noting = new OffsetCommitter(RunnerListener.NONE, WINDOW);
        ScriptedConsumer consumer = consumerOf(P0, P1);
        consumer.failReadsWith = new TimeoutException("no coordinator");
        Partition markersOnly = new Partition(P1, 1);
        markersOnly.offsets().reached(8);
        end(0);
        noting.commitIfDue(consumer, List.of(partition, markersOnly), NOW);
        assertThat(consumer.commits).containsOnlyKeys(P0);

        consumer.failReadsWith = null;
        noting.commitIfDue(consumer, List.of(partition, markersOnly), NOW.plusSeconds(1));
        assertThat(consumer.commits).containsOnlyKeys(P0, P1);
    }

    private static ScriptedConsumer consumerOf(TopicPartition... ids) {
        ScriptedConsumer consumer = new ScriptedConsumer();
        consumer.assign(List.of(ids));
        return consumer;
    }

    private static ConsumerRecord<byte[], byte[]> record(long offset) {
        return new ConsumerRecord<>(P0.topic(), P0.partition(), offset, new byte[] {1}, new byte[0]);
    }

    private void end(long offset) {
        InFlight record = partition.register(record(offset));
        partition.offsets().ended(record.slot());
    }

    /** Answers commits only when the test says so. */
    private static final class Silent extends MockConsumer<byte[], byte[]> {

        final List<Map<?, ?>> asked = new ArrayList<>();
        private final List<Runnable> answers = new ArrayList<>();

        Silent() {
            super("none");
        }

        @Override
        public synchronized void commitAsync(
                Map<TopicPartition, OffsetAndMetadata> offsets, OffsetCommitCallback callback) {
            asked.add(offsets);
            answers.add(() -> callback.onComplete(offsets, null));
        }

        void answer() {
            answers.forEach(Runnable::run);
            answers.clear();
        }
    }
}
