package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What clients can be told: a password is needed, the address is another. */
class EmbeddedKafkaListenersIT {

    private static ServerSocket proxy;
    private static EmbeddedKafka kafka;

    @BeforeAll
    static void start() throws IOException {
        proxy = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        proxy.setSoTimeout(20_000);
        kafka = EmbeddedKafka.builder()
                .saslUser("orders", "right")
                .saslUser("billing", "other")
                .advertisedPorts(proxy.getLocalPort())
                .start();
    }

    @AfterAll
    static void close() throws IOException {
        kafka.close();
        proxy.close();
    }

    @Test
    void the_right_password_is_let_in_and_told_the_advertised_port() throws Exception {
        assertThat(kafka.bootstrapServers()).isEqualTo("127.0.0.1:" + proxy.getLocalPort());
        Admin admin = Admin.create(login("orders", "right"));
        try {
            KafkaFuture<?> cluster = admin.describeCluster().nodes();

            try (Socket met = proxy.accept()) { // who is not let in is not told where to go on
                assertThat(met.isConnected()).isTrue();
                assertThat(cluster.isDone()).isFalse();
            }
        } finally {
            admin.close(Duration.ZERO);
        }
    }

    @Test
    void a_wrong_password_is_refused() {
        try (Admin admin = Admin.create(login("orders", "wrong"))) {
            assertThatThrownBy(() -> admin.describeCluster().nodes().get())
                    .isInstanceOf(ExecutionException.class)
                    .hasCauseInstanceOf(SaslAuthenticationException.class);
        }
    }

    private static Map<String, Object> login(String user, String password) {
        return Map.of(
                "bootstrap.servers",
                kafka.address(1),
                "security.protocol",
                "SASL_PLAINTEXT",
                "sasl.mechanism",
                "PLAIN",
                "sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"%s\" password=\"%s\";"
                        .formatted(user, password));
    }
}
