package dev.eventbus.it.faults;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.KafkaWire;
import dev.eventbus.faults.wire.KafkaWire.Fate;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.faults.wire.LoopbackProxy.Way;
import dev.eventbus.faults.wire.PostgresWire;
import dev.eventbus.it.Eventually;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownServerException;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;

/** The faults that other tests rely on happen as they are named. */
@ExtendWith(ServersExtension.class)
@Isolated("looks at all threads or sessions there are")
class LoopbackProxyIT {

    private static final int SOON = 200;

    @Test
    void a_black_hole_keeps_what_is_said_and_a_reset_ends_it() throws IOException {
        Set<Thread> before = proxyThreads();
        try (ServerSocket server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
                LoopbackProxy network = LoopbackProxy.open().forwardTo("127.0.0.1:" + server.getLocalPort());
                Socket client = new Socket("127.0.0.1", network.port());
                Socket served = server.accept()) {
            client.setSoTimeout(SOON);
            served.setSoTimeout(10_000);
            network.blackHole(Way.TO_CLIENT);
            client.getOutputStream().write('a');
            assertThat(served.getInputStream().read())
                    .as("the other way is open")
                    .isEqualTo('a');
            served.getOutputStream().write('b');
            assertThatThrownBy(() -> client.getInputStream().read()).isInstanceOf(SocketTimeoutException.class);
            client.setSoTimeout(10_000);
            network.heal();
            assertThat(client.getInputStream().read()).isEqualTo('b');

            network.latency(Duration.ofMillis(SOON));
            long said = System.nanoTime();
            served.getOutputStream().write('c');
            assertThat(client.getInputStream().read()).isEqualTo('c');
            assertThat(System.nanoTime() - said)
                    .isGreaterThan(Duration.ofMillis(SOON).toNanos());

            network.refuse();
            assertThatThrownBy(() -> client.getInputStream().read()).isInstanceOf(SocketException.class);
            try (Socket next = new Socket("127.0.0.1", network.port())) {
                assertThatThrownBy(() -> next.getInputStream().read()).isInstanceOf(SocketException.class);
            }
            assertThat(network.connections()).isZero();
        }
        Eventually.holds(() -> before.containsAll(proxyThreads()), () -> "a thread is left");
    }

    /** Other tests' proxies stay open beside this one's. */
    private static Set<Thread> proxyThreads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("loopback-proxy"))
                .collect(Collectors.toSet());
    }

    @Test
    void batches_meet_the_fate_of_their_rule() throws Exception {
        KafkaWire wire = new KafkaWire();
        try (LoopbackProxy network = LoopbackProxy.open(wire);
                EmbeddedKafka broker =
                        EmbeddedKafka.builder().advertisedPorts(network.port()).start()) {
            network.forwardTo(broker.address(1));
            KafkaCluster kafka = KafkaCluster.at(broker.bootstrapServers());
            Topics.of(
                            kafka,
                            TopicSpec.of("asset.events", 2).replicationFactor(1).minInsyncReplicas(1))
                    .provision();
            Map<String, Object> settings = Map.of("enable.idempotence", true, "linger.ms", 50);
            try (Producer<byte[], byte[]> producer = kafka.producer(settings)) {
                send(producer, 0, "warm-0").get();
                send(producer, 1, "warm-1").get();

                var lost = wire.when(batch -> batch.ids().contains("lost"), Fate.replyLost())
                        .times(1);
                send(producer, 0, "lost").get();
                assertThat(lost.hits()).isEqualTo(1);

                wire.when(batch -> batch.ids().contains("denied"), Fate.writtenButDenied(Errors.UNKNOWN_SERVER_ERROR));
                wire.when(batch -> batch.ids().contains("refused"), Fate.refused(Errors.UNKNOWN_SERVER_ERROR));
                Future<?> refused = send(producer, 0, "refused");
                Future<?> beside = send(producer, 1, "beside");
                assertThatThrownBy(refused::get)
                        .isInstanceOf(ExecutionException.class)
                        .hasCauseInstanceOf(UnknownServerException.class);
                beside.get();
                assertThatThrownBy(send(producer, 1, "denied")::get)
                        .isInstanceOf(ExecutionException.class)
                        .hasCauseInstanceOf(UnknownServerException.class);
            }
            assertThat(ids(kafka, 0)).containsExactly("warm-0", "lost");
            assertThat(ids(kafka, 1)).containsExactly("warm-1", "beside", "denied");
        }
    }

    private static Future<RecordMetadata> send(Producer<byte[], byte[]> producer, int partition, String id) {
        return producer.send(new ProducerRecord<>(
                "asset.events",
                partition,
                id.getBytes(UTF_8),
                id.getBytes(UTF_8),
                List.of(new RecordHeader("id", id.getBytes(UTF_8)))));
    }

    private static List<String> ids(KafkaCluster kafka, int partition) {
        TopicPartition from = new TopicPartition("asset.events", partition);
        List<String> ids = new ArrayList<>();
        try (Consumer<byte[], byte[]> consumer = kafka.consumer(Map.of())) {
            consumer.assign(List.of(from));
            consumer.seekToBeginning(List.of(from));
            long end = consumer.endOffsets(List.of(from)).getOrDefault(from, 0L);
            while (consumer.position(from) < end) {
                consumer.poll(Duration.ofMillis(200)).forEach(record -> ids.add(new String(record.value(), UTF_8)));
            }
        }
        return ids;
    }

    @Test
    void a_commit_or_its_answer_is_swallowed(PostgresServer postgres) throws SQLException {
        PostgresWire wire = new PostgresWire();
        String direct = postgres.createDatabase(postgres.uniqueName("wire"));
        URI server = URI.create(direct.substring("jdbc:".length()));
        try (LoopbackProxy network = LoopbackProxy.open(wire).forwardTo(server.getHost() + ":" + server.getPort());
                Connection beside = DriverManager.getConnection(direct, postgres.user(), postgres.password())) {
            String url = direct.replace(":" + server.getPort() + "/", ":" + network.port() + "/");
            try (Statement create = beside.createStatement()) {
                create.execute("CREATE TABLE effect (name text)");
            }
            insert(url, postgres, "first");
            wire.loseAnswerOfCommit(1);
            assertThatThrownBy(() -> insert(url, postgres, "answer lost")).isInstanceOf(SQLException.class);
            wire.loseCommit(1);
            assertThatThrownBy(() -> insert(url, postgres, "commit lost")).isInstanceOf(SQLException.class);
            insert(url, postgres, "last");
            assertThat(wire.lost()).isEqualTo(2);

            List<String> names = new ArrayList<>();
            try (Statement query = beside.createStatement();
                    ResultSet rows = query.executeQuery("SELECT name FROM effect")) {
                while (rows.next()) {
                    names.add(rows.getString(1));
                }
            }
            assertThat(names).containsExactly("first", "answer lost", "last");
        }
    }

    private static void insert(String url, PostgresServer postgres, String name) throws SQLException {
        try (Connection connection = DriverManager.getConnection(url, postgres.user(), postgres.password());
                Statement insert = connection.createStatement()) {
            connection.setAutoCommit(false);
            insert.execute("INSERT INTO effect VALUES ('%s')".formatted(name));
            connection.commit();
        }
    }
}
