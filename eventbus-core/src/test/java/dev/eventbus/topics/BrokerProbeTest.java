package dev.eventbus.topics;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import javax.net.ssl.SSLContext;
import org.apache.kafka.common.errors.TimeoutException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What a cluster's addresses turn out to be, from servers that answer as brokers do. */
@Timeout(30)
class BrokerProbeTest {

    private static final TopicSpec SPEC = TopicSpec.of("asset.events", 3).replicationFactor(1);

    /** Answers one connection after the other until it is closed. */
    private static final class Server implements AutoCloseable {

        private interface Behaviour {
            void with(Socket client) throws Exception;
        }

        private final ServerSocket listener;
        private final Thread thread;

        Server(ServerSocket listener, Behaviour behaviour) {
            this.listener = listener;
            this.thread = new Thread(() -> {
                while (!listener.isClosed()) {
                    try (Socket client = listener.accept()) {
                        behaviour.with(client);
                    } catch (Exception e) { // the next one
                        continue;
                    }
                }
            });
            thread.start();
        }

        /** As Kafka does in plaintext: a length that is too long, as TLS looks like, closes the connection. */
        static Server plaintext() throws IOException {
            return plaintext(new ServerSocket(0, 50, InetAddress.getLoopbackAddress()));
        }

        static Server plaintext(ServerSocket listener) {
            return new Server(listener, client -> {
                DataInputStream in = new DataInputStream(client.getInputStream());
                int length = in.readInt();
                if (length < 1_000) {
                    int apiKey = in.readShort();
                    int version = in.readShort();
                    int correlationId = in.readInt();
                    assertThat(apiKey).isEqualTo(18);
                    assertThat(version).isZero();
                    DataOutputStream out = new DataOutputStream(client.getOutputStream());
                    out.writeInt(6);
                    out.writeInt(correlationId);
                    out.writeShort(0);
                }
            });
        }

        /** As any TLS server: it answers a handshake, here with an alert since it has no certificate, and nothing else. */
        static Server tls() throws Exception {
            ServerSocket listener = SSLContext.getDefault()
                    .getServerSocketFactory()
                    .createServerSocket(0, 50, InetAddress.getLoopbackAddress());
            return new Server(listener, client -> client.getInputStream().read());
        }

        String address() {
            return "127.0.0.1:" + listener.getLocalPort();
        }

        @Override
        public void close() throws Exception {
            listener.close();
            thread.join();
        }
    }

    private static String closedPort() throws IOException {
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return "127.0.0.1:" + free.getLocalPort();
        }
    }

    private static KafkaCluster cluster(String addresses, String protocol) {
        return KafkaCluster.of(Map.of("bootstrap.servers", addresses, "security.protocol", protocol));
    }

    private static Optional<ErrorCode> ask(String addresses, String protocol) {
        return BrokerProbe.of(cluster(addresses, protocol)).ask().map(BrokerProbe.Finding::code);
    }

    @Test
    void a_port_that_nobody_listens_at_is_told_from_one_that_speaks_otherwise() throws Exception {
        try (Server plaintext = Server.plaintext();
                Server tls = Server.tls()) {
            assertThat(ask(closedPort(), "PLAINTEXT")).contains(ErrorCode.NOBODY_LISTENS);
            assertThat(ask(closedPort(), "SASL_SSL")).contains(ErrorCode.NOBODY_LISTENS);
            assertThat(ask(tls.address(), "PLAINTEXT")).contains(ErrorCode.SPEAKS_TLS);
            assertThat(ask(tls.address(), "SASL_PLAINTEXT")).contains(ErrorCode.SPEAKS_TLS);
            assertThat(ask(plaintext.address(), "SSL")).contains(ErrorCode.SPEAKS_PLAINTEXT);
            assertThat(ask(plaintext.address(), "sasl_ssl")).contains(ErrorCode.SPEAKS_PLAINTEXT);
        }
    }

    @Test
    void a_broker_that_answers_as_expected_is_no_finding() throws Exception {
        try (Server plaintext = Server.plaintext();
                Server tls = Server.tls()) {
            assertThat(ask(plaintext.address(), "PLAINTEXT")).isEmpty();
            assertThat(ask(tls.address(), "SASL_SSL")).isEmpty();
        }
    }

    @Test
    void one_broker_that_answers_is_enough_and_one_that_speaks_otherwise_tells_more_than_a_closed_port()
            throws Exception {
        try (Server plaintext = Server.plaintext()) {
            assertThat(ask(closedPort() + "," + plaintext.address(), "PLAINTEXT"))
                    .isEmpty();
            assertThat(ask(closedPort() + "," + plaintext.address(), "SSL")).contains(ErrorCode.SPEAKS_PLAINTEXT);
        }
    }

    @Test
    void a_server_that_is_silent_or_no_kafka_at_all_is_left_to_the_client() throws Exception {
        CountDownLatch end = new CountDownLatch(1);
        ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        try (Server silent = new Server(listener, client -> end.await());
                Server tls = Server.tls()) {
            try {
                assertThat(ask(silent.address(), "PLAINTEXT")).isEmpty();
                assertThat(ask(silent.address() + "," + tls.address(), "PLAINTEXT"))
                        .as("the silent one may be right")
                        .isEmpty();
            } finally {
                end.countDown();
            }
        }
        ServerSocket other = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        try (Server http = new Server(
                other, client -> client.getOutputStream().write("HTTP/1.1 400 Bad Request".getBytes(US_ASCII)))) {
            assertThat(ask(http.address(), "PLAINTEXT")).isEmpty();
        }
    }

    @Test
    void topics_are_not_asked_for_where_nobody_can_answer() throws Exception {
        try (Server tls = Server.tls()) {
            Topics topics = Topics.of(cluster(tls.address(), "PLAINTEXT"), SPEC).timeout(Duration.ofMinutes(5));

            assertThatThrownBy(topics::verify)
                    .isInstanceOfSatisfying(
                            KafkaAccessException.class,
                            e -> assertThat(e.code()).isEqualTo(ErrorCode.SPEAKS_TLS))
                    .hasNoCause()
                    .hasMessageContaining(tls.address())
                    .hasMessageContaining("Nothing was changed.")
                    .hasMessageContaining("security.protocol");
        }
    }

    @Test
    void a_port_that_stays_closed_is_told() throws Exception {
        Topics topics = Topics.of(KafkaCluster.at(closedPort()), SPEC);

        assertThatThrownBy(topics::verify)
                .isInstanceOfSatisfying(
                        KafkaAccessException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.NOBODY_LISTENS))
                .hasNoCause();
    }

    @Test
    void a_broker_that_starts_is_waited_for() throws Exception {
        String address = closedPort();
        int port = Integer.parseInt(address.substring(address.indexOf(':') + 1));
        BrokerProbe probe = BrokerProbe.of(cluster(address, "PLAINTEXT"));
        assertThat(probe.ask()).isPresent();

        CompletableFuture<Optional<BrokerProbe.Finding>> awaited =
                CompletableFuture.supplyAsync(() -> probe.await(Duration.ofSeconds(20)));
        try (Server plaintext = Server.plaintext(new ServerSocket(port, 50, InetAddress.getLoopbackAddress()))) {
            assertThat(awaited.join()).isEmpty();
            assertThat(plaintext.address()).isEqualTo(address);
        }
    }

    @Test
    void a_probe_in_the_background_is_in_a_later_explanation_until_a_broker_has_answered() throws Exception {
        try (Server plaintext = Server.plaintext()) {
            ClusterProbe wrong = new ClusterProbe(cluster(plaintext.address(), "ssl"));
            TimeoutException silence = new TimeoutException("late");
            assertThat(wrong.explain(silence, "events wait").code())
                    .isIn(ErrorCode.NO_ANSWER, ErrorCode.SPEAKS_PLAINTEXT); // if the probe was quick
            while (wrong.explain(silence, "events wait").code() == ErrorCode.NO_ANSWER) {
                assertThat(Thread.currentThread().isInterrupted()).isFalse();
                Thread.onSpinWait();
            }
            assertThat(wrong.explain(silence, "events wait").code()).isEqualTo(ErrorCode.SPEAKS_PLAINTEXT);
            wrong.forget();
            assertThat(wrong.problem("events wait")).isEmpty();
        }
    }

    @Test
    void a_cluster_that_somebody_else_makes_the_clients_of_is_not_asked() {
        KafkaCluster wrapping = (KafkaCluster) java.lang.reflect.Proxy.newProxyInstance(
                BrokerProbeTest.class.getClassLoader(),
                new Class<?>[] {KafkaCluster.class},
                (self, method, arguments) -> "127.0.0.1:1");
        assertThat(BrokerProbe.of(wrapping).hasAddresses()).isFalse();
    }
}
