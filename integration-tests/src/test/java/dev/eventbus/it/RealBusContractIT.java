package dev.eventbus.it;

import static java.util.concurrent.TimeUnit.SECONDS;

import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.testkit.BusContract;
import dev.eventbus.testkit.BusUnderTest;
import dev.eventbus.topics.KafkaCluster;
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
import org.junit.jupiter.api.extension.ExtendWith;

/** The sentences that the in-memory cluster keeps, on a real broker. */
@ExtendWith(ServersExtension.class)
class RealBusContractIT extends BusContract {

    private final KafkaServer server;

    RealBusContractIT(KafkaServer server) {
        this.server = server;
    }

    @Override
    protected BusUnderTest open() {
        return new RealBus(server);
    }

    /** Used by the test's thread only. */
    private static final class RealBus implements BusUnderTest {

        private static final Duration LIMIT = Duration.ofSeconds(60);
        private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

        private final KafkaServer server;
        private final KafkaCluster kafka;
        private final Admin admin;
        private final Producer<byte[], byte[]> producer;
        private final Consumer<byte[], byte[]> reader;
        private final List<ConsumerRunner> runners = new ArrayList<>();

        private RealBus(KafkaServer server) {
            this.server = server;
            this.kafka = KafkaCluster.at(server.bootstrapServers());
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
            String name = server.uniqueName("contract");
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
