package dev.eventbus.it;

import static java.util.concurrent.TimeUnit.SECONDS;

import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.KafkaWire;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.faults.wire.PostgresWire;
import dev.eventbus.it.faults.FaultyKafka;
import dev.eventbus.it.faults.FaultyKafkaExtension;
import dev.eventbus.testkit.BusContract;
import dev.eventbus.testkit.BusUnderTest;
import dev.eventbus.testkit.Ledger;
import dev.eventbus.topics.KafkaCluster;
import java.net.URI;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiKeys;
import org.junit.jupiter.api.extension.ExtendWith;
import org.postgresql.ds.PGSimpleDataSource;

/** The sentences that the in-memory cluster keeps, on a real broker. */
@ExtendWith({ServersExtension.class, FaultyKafkaExtension.class})
class RealBusContractIT extends BusContract {

    private final FaultyKafka server;
    private final PostgresServer postgres;

    RealBusContractIT(FaultyKafka server, PostgresServer postgres) {
        this.server = server;
        this.postgres = postgres;
    }

    @Override
    protected BusUnderTest open() {
        return new RealBus(server, postgres);
    }

    /** Used by the test's thread only. */
    private static final class RealBus implements BusUnderTest {

        private static final Duration LIMIT = Duration.ofSeconds(60);
        private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

        private final FaultyKafka server;
        private final PostgresServer postgres;
        private final KafkaCluster kafka;
        private final Admin admin;
        private final Producer<byte[], byte[]> producer;
        private final Consumer<byte[], byte[]> reader;
        private final List<ConsumerRunner> runners = new ArrayList<>();
        private final PostgresWire wire = new PostgresWire();
        private final LoopbackProxy network = LoopbackProxy.open(wire);
        private final List<BooleanSupplier> toComeAbout = new ArrayList<>();

        private RealBus(FaultyKafka server, PostgresServer postgres) {
            this.server = server;
            this.postgres = postgres;
            this.kafka = server.asAdmin();
            this.admin = kafka.admin();
            this.producer = kafka.producer(Map.of("acks", "all"));
            this.reader = kafka.consumer(Map.of("isolation.level", "read_committed", "enable.auto.commit", false));
        }

        @Override
        public KafkaCluster kafka() {
            return kafka;
        }

        @Override
        public String newTopic(int partitions) {
            String name = postgres.uniqueName("contract");
            ask(() -> admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1)))
                    .all()
                    .get(LIMIT.toSeconds(), SECONDS));
            return name;
        }

        @Override
        public void send(ProducerRecord<byte[], byte[]> record) {
            ask(() -> producer.send(record).get(LIMIT.toSeconds(), SECONDS));
        }

        @Override
        public void start(ConsumerRunner runner) {
            runners.add(runner);
            runner.start();
        }

        @Override
        public void expel(String group) {
            ask(() -> admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions())
                    .all()
                    .get(LIMIT.toSeconds(), SECONDS));
        }

        @Override
        public void loseAnswersFrom(String topic, int times) {
            Uuid id = ask(() ->
                            admin.describeTopics(List.of(topic)).allTopicNames().get(LIMIT.toSeconds(), SECONDS))
                    .get(topic)
                    .topicId();
            KafkaWire.Rule rule = server.wire()
                    .when(batch -> batch.topic().equals(id), KafkaWire.Fate.replyLost())
                    .times(times);
            toComeAbout.add(() -> rule.hits() == times);
        }

        @Override
        public void loseCommitAnswersTo(String group, int times) {
            int before = server.wire().repliesLost();
            server.wire().loseReplies(ApiKeys.OFFSET_COMMIT, times);
            toComeAbout.add(() -> server.wire().repliesLost() == before + times);
        }

        @Override
        public Ledger newLedger() throws SQLException {
            PGSimpleDataSource database = database(postgres.createDatabase(postgres.uniqueName("ledger")));
            return Ledger.on(database, () -> {});
        }

        @Override
        public JdbcInbox inboxOf(Ledger ledger) {
            String url = ((PGSimpleDataSource) ledger.database()).getUrl();
            int port = URI.create(url.substring("jdbc:".length())).getPort();
            network.forwardTo("127.0.0.1:" + port);
            return JdbcInbox.postgres(database(url.replace(":" + port + "/", ":" + network.port() + "/")));
        }

        private PGSimpleDataSource database(String url) {
            PGSimpleDataSource database = new PGSimpleDataSource();
            database.setUrl(url);
            database.setUser(postgres.user());
            database.setPassword(postgres.password());
            return database;
        }

        @Override
        public void loseThisCommit(boolean arrives) {
            int before = wire.lost();
            if (arrives) {
                wire.loseAnswerOfCommit(1);
            } else {
                wire.loseCommit(1);
            }
            toComeAbout.add(() -> wire.lost() == before + 1);
        }

        @Override
        public void await(String what, BooleanSupplier condition) {
            long deadline = System.nanoTime() + LIMIT.toNanos();
            while (!condition.getAsBoolean()) {
                if (System.nanoTime() - deadline > 0) {
                    throw new AssertionError("after %s still not: %s; %s"
                            .formatted(
                                    LIMIT,
                                    what,
                                    runners.stream().map(ConsumerRunner::health).toList()));
                }
                LockSupport.parkNanos(LOOK_NANOS);
            }
        }

        @Override
        public List<ConsumerRecord<byte[], byte[]>> records(String topic) {
            List<TopicPartition> partitions = IntStream.range(
                            0, reader.partitionsFor(topic).size())
                    .mapToObj(number -> new TopicPartition(topic, number))
                    .toList();
            reader.assign(partitions);
            reader.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = reader.endOffsets(partitions);
            List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
            while (ends.entrySet().stream().anyMatch(end -> reader.position(end.getKey()) < end.getValue())) {
                reader.poll(Duration.ofMillis(100)).forEach(records::add);
            }
            return records;
        }

        @Override
        public OptionalLong committed(String group, String topic, int partition) {
            Map<TopicPartition, OffsetAndMetadata> offsets = ask(() -> admin.listConsumerGroupOffsets(group)
                    .partitionsToOffsetAndMetadata()
                    .get(LIMIT.toSeconds(), SECONDS));
            OffsetAndMetadata committed = offsets.get(new TopicPartition(topic, partition));
            return committed == null ? OptionalLong.empty() : OptionalLong.of(committed.offset());
        }

        @Override
        public void close() {
            runners.forEach(ConsumerRunner::close);
            reader.close();
            producer.close();
            admin.close();
            network.close();
            if (!toComeAbout.stream().allMatch(BooleanSupplier::getAsBoolean)) {
                throw new IllegalStateException("an answer that was to be lost was not");
            }
        }

        /** A question to the broker. */
        private interface Question<T> {
            T ask() throws ExecutionException, TimeoutException, InterruptedException;
        }

        private static <T> T ask(Question<T> question) {
            try {
                return question.ask();
            } catch (ExecutionException | TimeoutException e) {
                throw new IllegalStateException("the broker did not do as it was asked", e);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("interrupted while the broker was asked", e);
            }
        }
    }
}
