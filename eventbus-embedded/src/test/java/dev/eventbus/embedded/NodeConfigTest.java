package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class NodeConfigTest {

    private static final NodeAddresses ONE = new NodeAddresses(1, 101, 101, 102, 102, 103);
    private static final NodeAddresses TWO = new NodeAddresses(2, 201, 901, 202, 902, 203);
    private static final NodeAddresses THREE = new NodeAddresses(3, 301, 301, 302, 302, 303);
    private static final Path DATA = Path.of("/data/node");

    @Test
    void a_single_node_replicates_nothing_and_waits_for_nobody() {
        assertThat(NodeConfig.of(ONE, List.of(ONE), DATA, wishes(Map.of(), Map.of())))
                .containsEntry("node.id", "1")
                .containsEntry("controller.quorum.voters", "1@127.0.0.1:103")
                .containsEntry("default.replication.factor", "1")
                .containsEntry("min.insync.replicas", "1")
                .containsEntry("transaction.state.log.min.isr", "1")
                .containsEntry("auto.create.topics.enable", "false")
                .containsEntry("log.dirs", "/data/node");
    }

    @Test
    void three_nodes_know_each_other_and_acknowledge_with_two() {
        assertThat(NodeConfig.of(TWO, List.of(ONE, TWO, THREE), DATA, wishes(Map.of(), Map.of())))
                .containsEntry("node.id", "2")
                .containsEntry("controller.quorum.voters", "1@127.0.0.1:103,2@127.0.0.1:203,3@127.0.0.1:303")
                .containsEntry("default.replication.factor", "3")
                .containsEntry("offsets.topic.replication.factor", "3")
                .containsEntry("min.insync.replicas", "2");
    }

    @Test
    void clients_and_brokers_are_each_told_the_port_that_is_advertised_to_them() {
        assertThat(NodeConfig.of(TWO, List.of(ONE, TWO, THREE), DATA, wishes(Map.of(), Map.of())))
                .containsEntry("listeners", "CLIENT://127.0.0.1:201,BROKER://127.0.0.1:202,CONTROLLER://127.0.0.1:203")
                .containsEntry("advertised.listeners", "CLIENT://127.0.0.1:901,BROKER://127.0.0.1:902");
    }

    @Test
    void a_property_replaces_a_default_but_not_what_makes_the_cluster() {
        assertThat(NodeConfig.of(ONE, List.of(ONE), DATA, wishes(Map.of("num.io.threads", "8"), Map.of())))
                .containsEntry("num.io.threads", "8");
        assertThatThrownBy(() -> EmbeddedKafka.builder().property("listeners", "PLAINTEXT://:9092"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("was listeners");
    }

    @Test
    void with_users_only_the_clients_are_asked_for_a_password() {
        assertThat(NodeConfig.of(ONE, List.of(ONE), DATA, wishes(Map.of(), Map.of("orders", "pw", "billing", "x"))))
                .containsEntry(
                        "listener.security.protocol.map", "CLIENT:SASL_PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT")
                .containsEntry(
                        "listener.name.client.plain.sasl.jaas.config",
                        "org.apache.kafka.common.security.plain.PlainLoginModule required"
                                + " user_billing=\"x\" user_orders=\"pw\";");
    }

    @Test
    void users_of_both_mechanisms_are_let_in_over_tls() {
        NodeConfig.Wishes wishes = new NodeConfig.Wishes(
                List.of(), List.of(), Map.of(NodeConfig.KEY_STORE, "/keys.p12"), Map.of("a", "pw"), Map.of("b", "x"));
        assertThat(NodeConfig.of(ONE, List.of(ONE), DATA, wishes))
                .containsEntry(
                        "listener.security.protocol.map", "CLIENT:SASL_SSL,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT")
                .containsEntry("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512")
                .containsEntry("eventbus.scram.b", "x")
                .containsEntry(
                        "listener.name.client.scram-sha-512.sasl.jaas.config",
                        "org.apache.kafka.common.security.scram.ScramLoginModule required;");
    }

    @Test
    void refuses_what_cannot_be_and_never_tells_a_password() {
        EmbeddedKafka.Builder builder = EmbeddedKafka.builder();

        assertThatThrownBy(() -> builder.nodes(2)).hasMessage("nodes must be 1 or 3, was 2");
        assertThatThrownBy(() -> builder.saslUser("a b", "pw")).hasMessageContaining("was 'a b'");
        assertThatThrownBy(() -> builder.saslUser("orders", "se\"cret"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("password of orders")
                .hasMessageNotContaining("cret");
        assertThatThrownBy(() -> builder.scramUser("orders", "se,cret"))
                .hasMessageContaining("password of orders")
                .hasMessageNotContaining("cret");
        assertThatThrownBy(
                        () -> EmbeddedKafka.builder().portsBetweenBrokers(1, 2).start())
                .hasMessage("portsBetweenBrokers must be one for each node, was 2 for 1 nodes");
        assertThatThrownBy(() -> builder.nodes(3).advertisedPorts(1).start())
                .hasMessage("advertisedPorts must be one for each node, was 1 for 3 nodes");
    }

    private static NodeConfig.Wishes wishes(Map<String, String> properties, Map<String, String> users) {
        return new NodeConfig.Wishes(List.of(), List.of(), properties, users, Map.of());
    }
}
