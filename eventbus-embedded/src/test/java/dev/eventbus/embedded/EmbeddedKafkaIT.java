package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class EmbeddedKafkaIT {

    private static EmbeddedKafka kafka;

    @BeforeAll
    static void start() {
        kafka = EmbeddedKafka.start();
    }

    @AfterAll
    static void close() {
        kafka.close();
        assertThat(kafka.isAlive(1)).isFalse();
    }

    @Test
    void a_killed_node_keeps_every_acknowledged_record_and_its_address() throws Exception {
        String address = kafka.bootstrapServers();
        TestTopic topic = TestTopic.create(address, kafka.uniqueName("killed"));
        topic.write("a", "b", "c");
        long pid = kafka.pid(1);

        kafka.kill(1);
        assertThat(kafka.isAlive(1)).isFalse();
        assertThat(ProcessHandle.of(pid)).isEmpty();
        try (ServerSocket taken = taken(address)) {
            assertThatThrownBy(() -> kafka.start(1)).hasMessageContaining("Address already in use");
            assertThat(taken.isBound()).isTrue();
        }
        kafka.start(1);

        assertThat(kafka.bootstrapServers()).isEqualTo(address);
        assertThat(kafka.pid(1)).isNotEqualTo(pid);
        topic.write("d");
        assertThat(topic.read(4)).containsExactly("a", "b", "c", "d");
    }

    @Test
    void a_restarted_node_keeps_its_records_even_if_it_was_frozen() throws Exception {
        TestTopic topic = TestTopic.create(kafka.bootstrapServers(), kafka.uniqueName("restarted"));
        topic.write("a", "b");

        kafka.pause(1);
        kafka.restart(1);

        assertThat(topic.read(2)).containsExactly("a", "b");
    }

    @Test
    void a_frozen_node_answers_only_after_it_goes_on() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
            assertThat(admin.describeCluster().nodes().get()).hasSize(1);

            kafka.pause(1);
            assertThat(kafka.isAlive(1)).isTrue();
            KafkaFuture<?> answer = admin.describeCluster().nodes();
            assertThatThrownBy(() -> answer.get(500, TimeUnit.MILLISECONDS)).isInstanceOf(TimeoutException.class);
            kafka.resume(1);

            assertThat(answer.get(20, TimeUnit.SECONDS)).isNotNull();
        }
    }

    @Test
    void a_running_node_is_not_started_twice() {
        assertThatThrownBy(() -> kafka.start(1))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("node-1 runs already");
    }

    @Test
    void a_topic_is_never_created_by_itself() {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
            String name = kafka.uniqueName("never");
            TestTopic absent =
                    new TestTopic(Map.of("bootstrap.servers", kafka.bootstrapServers(), "max.block.ms", "500"), name);
            assertThatThrownBy(() -> absent.write("a")).hasMessageContaining("not present in metadata");

            assertThatThrownBy(() ->
                            admin.describeTopics(List.of(name)).allTopicNames().get())
                    .isInstanceOf(ExecutionException.class)
                    .hasCauseInstanceOf(UnknownTopicOrPartitionException.class);
        }
    }

    private static ServerSocket taken(String address) throws IOException {
        int port = Integer.parseInt(address.substring(address.indexOf(':') + 1));
        return new ServerSocket(port, 1, InetAddress.getLoopbackAddress());
    }
}
