package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.junit.jupiter.api.Test;

/** Groups of the in-memory cluster: who owns what, from where it reads, and what was committed. */
class InMemoryGroupTest {

    private static final String TOPIC = "asset.events";
    private static final TopicPartition P0 = new TopicPartition(TOPIC, 0);
    private static final TopicPartition P1 = new TopicPartition(TOPIC, 1);
    private static final TopicPartition P2 = new TopicPartition(TOPIC, 2);

    private final InMemoryKafka kafka = InMemoryKafka.create();
    private final Producer<byte[], byte[]> producer = kafka.producer(Map.of());

    @Test
    void one_member_reads_all_partitions_and_a_second_takes_its_share_after_the_first_has_given_it_up() {
        Member first = new Member("g");
        first.poll();
        assertThat(first.owns).containsExactlyInAnyOrder(P0, P1, P2);

        Member second = new Member("g");
        second.poll();
        assertThat(second.owns).as("still owned by the first").isEmpty();
        first.poll();
        second.poll();

        assertThat(first.heard).contains("revoked " + second.owns);
        assertThat(first.owns).hasSize(2).doesNotContainAnyElementsOf(second.owns);
        assertThat(second.owns).hasSize(1);
    }

    @Test
    void a_partition_is_revoked_before_it_is_assigned_elsewhere_and_may_be_committed_in_the_callback() {
        send(P0, "a", "b", "c");
        Member first = new Member("g");
        first.commitOnRevoke = Map.of(P0, new OffsetAndMetadata(2, "by first"));
        first.poll();
        Member second = new Member("g");
        assertThat(second.poll()).isEmpty();
        first.poll();

        assertThat(first.heard).last().isEqualTo("revoked " + Set.of(P0));
        assertThat(second.poll()).containsExactly("c");
        assertThat(second.consumer.committed(Set.of(P0)))
                .containsExactly(Map.entry(P0, new OffsetAndMetadata(2, "by first")));
    }

    @Test
    void a_rebalance_takes_everything_from_a_lone_member_and_gives_it_back() {
        Member member = new Member("g");
        member.poll();
        kafka.broker().recallAll("g");
        member.poll();

        assertThat(member.heard).containsExactly("assigned 3", "revoked 3", "assigned 3");
    }

    @Test
    void an_expelled_member_loses_its_partitions_cannot_commit_and_joins_anew() {
        Member member = new Member("g");
        member.poll();
        kafka.broker().expelAll("g");

        assertThatThrownBy(() -> member.consumer.commitSync(Map.of(P0, new OffsetAndMetadata(1))))
                .isInstanceOf(CommitFailedException.class);
        member.poll();
        assertThat(member.heard).containsExactly("assigned 3", "lost 3", "assigned 3");
        member.consumer.commitSync(Map.of(P0, new OffsetAndMetadata(1)));
        assertThat(kafka.broker().committed("g", P0)).isEqualTo(new OffsetAndMetadata(1));
    }

    @Test
    void a_closing_member_is_asked_to_give_up_first_and_the_others_take_over_from_the_committed_offset() {
        send(P0, "a", "b", "c");
        Member first = new Member("g");
        assertThat(first.poll()).containsExactly("a", "b", "c");
        first.commitOnRevoke = Map.of(P0, new OffsetAndMetadata(2));
        first.consumer.close();

        assertThat(first.heard).last().isEqualTo("revoked 3");
        assertThat(new Member("g").poll()).containsExactly("c");
        assertThat(new Member("other group").poll()).containsExactly("a", "b", "c");
        assertThatThrownBy(first::poll).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void a_member_that_does_not_poll_keeps_its_partitions() {
        Member silent = new Member("g");
        silent.poll();
        Member other = new Member("g");
        for (int i = 0; i < 10; i++) {
            other.poll();
        }
        assertThat(other.owns).isEmpty();
    }

    @Test
    void a_paused_partition_gives_nothing_and_keeps_its_position() {
        send(P0, "a");
        send(P1, "b");
        Member member = new Member("g");
        member.consumer.subscribe(Set.of(TOPIC), member);
        member.poll();
        member.consumer.pause(Set.of(P0));
        send(P0, "c");
        send(P1, "d");

        assertThat(member.poll()).containsExactly("d");
        assertThat(member.consumer.position(P0)).isEqualTo(1);
        assertThat(member.consumer.paused()).containsExactly(P0);
        member.consumer.resume(Set.of(P0));
        assertThat(member.poll()).containsExactly("c");
    }

    @Test
    void callbacks_of_asynchronous_commits_run_in_a_later_call() {
        Member member = new Member("g");
        member.poll();
        List<String> called = new ArrayList<>();
        member.consumer.commitAsync(
                Map.of(P0, new OffsetAndMetadata(7)), (offsets, failure) -> called.add("committed"));

        assertThat(called).isEmpty();
        member.poll();
        assertThat(called).containsExactly("committed");
        assertThat(kafka.broker().committed("g", P0)).isEqualTo(new OffsetAndMetadata(7));
    }

    @Test
    void new_partitions_of_a_topic_are_dealt_out_too() {
        Member member = new Member("g");
        member.poll();
        kafka.broker().createOrGrow(TOPIC, 5);
        member.poll();

        assertThat(member.owns).hasSize(5);
        assertThatThrownBy(() -> kafka.broker().createOrGrow(TOPIC, 4))
                .hasMessage("partitions of asset.events must be at least 5, was 4");
    }

    @Test
    void a_wakeup_ends_the_next_poll_once() {
        Member member = new Member("g");
        member.consumer.wakeup();

        assertThatThrownBy(member::poll).isInstanceOf(WakeupException.class);
        assertThat(member.poll()).isEmpty();
    }

    private static void send(Producer<byte[], byte[]> producer, ProducerRecord<byte[], byte[]> record) {
        assertThat(producer.send(record)).succeedsWithin(Duration.ZERO);
    }

    private void send(TopicPartition partition, String... values) {
        for (String value : values) {
            send(producer, new ProducerRecord<>(partition.topic(), partition.partition(), bytes("k"), bytes(value)));
        }
    }

    private static List<String> values(ConsumerRecords<byte[], byte[]> records) {
        List<String> values = new ArrayList<>();
        records.forEach(record -> values.add(new String(record.value(), UTF_8)));
        return values;
    }

    private static Map<String, Object> settings(String group) {
        return Map.of("group.id", group, "enable.auto.commit", "false", "auto.offset.reset", "earliest");
    }

    private static byte[] bytes(String text) {
        return text.getBytes(UTF_8);
    }

    /** A consumer that writes down what it hears. */
    private final class Member implements ConsumerRebalanceListener {

        private final Consumer<byte[], byte[]> consumer;
        private final List<String> heard = new ArrayList<>();
        private Set<TopicPartition> owns = Set.of();
        private Map<TopicPartition, OffsetAndMetadata> commitOnRevoke = new HashMap<>();

        private Member(String group) {
            consumer = kafka.consumer(settings(group));
            consumer.subscribe(Set.of(TOPIC), this);
        }

        private List<String> poll() {
            List<String> values = values(consumer.poll(Duration.ZERO));
            owns = consumer.assignment();
            return values;
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            assertThat(consumer.assignment())
                    .as("still its own in the callback")
                    .containsAll(partitions);
            heard.add("revoked " + (partitions.size() == 3 ? "3" : partitions));
            if (!commitOnRevoke.isEmpty()) {
                consumer.commitSync(commitOnRevoke);
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            heard.add("assigned " + (partitions.size() == 3 ? "3" : partitions));
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            heard.add("lost " + (partitions.size() == 3 ? "3" : partitions));
        }
    }
}
