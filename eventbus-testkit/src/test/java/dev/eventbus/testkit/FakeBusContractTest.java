package dev.eventbus.testkit;

import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.topics.KafkaCluster;
import java.sql.SQLException;
import java.util.List;
import java.util.OptionalLong;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/** The contract on the in-memory cluster. */
class FakeBusContractTest extends BusContract {

    @Override
    protected BusUnderTest open() {
        return new InMemory();
    }

    private static final class InMemory implements BusUnderTest {

        private final FakeEventBus bus = FakeEventBus.create();
        private int topics;

        @Override
        public KafkaCluster kafka() {
            return bus.kafka();
        }

        @Override
        public String newTopic(int partitions) {
            String name = "topic-" + ++topics;
            bus.topic(name, partitions);
            return name;
        }

        @Override
        public void send(ProducerRecord<byte[], byte[]> record) {
            bus.publishRaw(record);
        }

        @Override
        public void start(ConsumerRunner runner) {
            bus.start(runner);
        }

        @Override
        public void expel(String group) {
            bus.faults().expel(group);
        }

        @Override
        public void loseAnswersFrom(String topic, int times) {
            bus.faults().failTimes(times).forAnswersFrom(topic);
        }

        @Override
        public void loseCommitAnswersTo(String group, int times) {
            bus.faults().failTimes(times).forCommitAnswersTo(group);
        }

        @Override
        public Ledger newLedger() throws SQLException {
            return Ledger.create();
        }

        @Override
        public JdbcInbox inboxOf(Ledger ledger) {
            return JdbcInbox.h2(bus.faults().dataSource(ledger.database()));
        }

        @Override
        public void loseThisCommit(boolean arrives) {
            if (arrives) {
                bus.faults().failTimes(1).forDatabaseCommitAnswers();
            } else {
                bus.faults().failTimes(1).forDatabaseCommits();
            }
        }

        @Override
        public void await(String what, BooleanSupplier condition) {
            bus.runUntil(what, condition);
        }

        @Override
        public List<ConsumerRecord<byte[], byte[]>> records(String topic) {
            return bus.records(topic);
        }

        @Override
        public OptionalLong committed(String group, String topic, int partition) {
            return bus.committedOffset(group, topic, partition);
        }

        @Override
        public void close() {
            bus.close();
        }
    }
}
