package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class EmbeddedKafkaClusterIT {

    @Test
    void three_nodes_go_on_without_one_and_come_back_together_with_every_acknowledged_record() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.builder().nodes(3).start()) {
            assertThat(kafka.nodes()).isEqualTo(3);
            assertThat(kafka.bootstrapServers().split(",")).hasSize(3).doesNotHaveDuplicates();
            TestTopic topic = TestTopic.create(kafka.bootstrapServers(), "orders");
            topic.write("all three");

            kafka.kill(2);
            topic.write("two of three"); // min.insync.replicas is 2, so this one is on both that are left

            kafka.kill(1);
            kafka.kill(3);
            kafka.start(1, 2, 3);
            topic.write("all three again");
            assertThat(topic.read(3)).containsExactly("all three", "two of three", "all three again");
        }
    }
}
