package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.EventHeaders;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.internal.Checks;
import dev.eventbus.testkit.FaultPlan.Call;
import java.util.Arrays;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import javax.sql.DataSource;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;

/**
 * What goes wrong on a {@link FakeEventBus}, on purpose and at the same place in every run.
 *
 * <pre>{@code
 * bus.faults().failTimes(2).forKey("bob");                      // met where the handler's fake goes through failPoint(key)
 * bus.start(Calculator.runner(bus.kafka(), user -> {
 *     bus.faults().failPoint(user);
 *     evicted.add(user);
 * }));
 * bus.faults().down("dlq.events");
 * }</pre>
 *
 * <p>By default nothing goes wrong. Only the edges to Kafka and to the database fail, in ways in which the real ones do; what deals
 * with it is the engine of production. A new fault of the same kind and subject takes the place of the one before; calls that were
 * to fail and never did, a crash that never came about, a group that nobody joined and a topic that nobody used, fail {@link
 * FakeEventBus#close()}: a name may be misspelt. Topics are named as on the bus. Used by the thread of the bus, also from within handlers.
 */
public final class Faults {

    private final InMemoryBroker broker;
    private final UnaryOperator<String> physicalTopic;

    Faults(InMemoryBroker broker, UnaryOperator<String> physicalTopic) {
        this.broker = broker;
        this.physicalTopic = physicalTopic;
    }

    /** What fails, of so many calls from now on. Without a call of it nothing fails. */
    public final class Failures {

        private final int times;

        private Failures(int times) {
            this.times = times;
        }

        /** That many runs of {@link #failPoint} with this key. */
        public void forKey(String key) {
            broker.faults().fail(Call.HANDLER_OF_KEY, key, times);
        }

        /** That many sends to the topic, by runners and relays, as when the broker is not reached in time; nothing of them arrives. */
        public void forSendsTo(String topic) {
            broker.faults().fail(Call.SEND_TO_TOPIC, physical(topic), times);
        }

        /**
         * That many sends to the topic, by runners and relays, arrive, and their answers do not: who sent hears of a time-out and cannot
         * know. So it sends again, and the record stands there twice.
         */
        public void forAnswersFrom(String topic) {
            broker.faults().fail(Call.ANSWER_FROM_TOPIC, physical(topic), times);
        }

        /** That many offset commits of the group, as when the broker is not reached in time; nothing of them is committed. */
        public void forCommitsOf(String group) {
            broker.faults().fail(Call.COMMIT_OF_GROUP, Checks.notBlank("group", group), times);
        }

        /** That many offset commits of the group take place, and their answers are lost. */
        public void forCommitAnswersTo(String group) {
            broker.faults().fail(Call.COMMIT_ANSWER_TO_GROUP, Checks.notBlank("group", group), times);
        }

        /**
         * That many transactions of events on {@link Faults#dataSource}: the connection breaks before the database has their COMMIT, so they
         * are rolled back. SQLSTATE 08006, as after {@link #forDatabaseCommitAnswers()}: who committed cannot tell the two apart.
         */
        public void forDatabaseCommits() {
            broker.faults().fail(Call.DATABASE_COMMIT, FaultPlan.THE_ONE, times);
        }

        /** That many transactions of events on {@link Faults#dataSource} are committed, and the connection breaks before the answer. */
        public void forDatabaseCommitAnswers() {
            broker.faults().fail(Call.DATABASE_COMMIT_ANSWER, FaultPlan.THE_ONE, times);
        }
    }

    void checkMet() {
        List<String> strangers = broker.strangers().stream()
                .map("group %s, which nobody has joined"::formatted)
                .toList();
        List<String> nowhere = broker.faults().everDown().stream()
                .filter(topic -> !broker.topics().contains(topic))
                .map("topic %s, which nobody has used"::formatted)
                .toList();
        List<String> unmet = Stream.of(broker.faults().unmet(), broker.crashes().unmet(), strangers, nowhere)
                .flatMap(List::stream)
                .toList();
        if (!unmet.isEmpty()) {
            throw new IllegalStateException(
                    "what the test asked for has never come about: %s. A name may be misspelt, or what runs does not come there."
                            .formatted(String.join(", ", unmet)));
        }
    }

    // ---- calls that fail

    /**
     * Begins a fault of the next {@code times} calls; 0 ends one.
     *
     * @throws IllegalArgumentException if it is negative
     */
    public Failures failTimes(int times) {
        return new Failures(Checks.atLeast("times", times, 0));
    }

    /**
     * Stands in a handler of the test, or in the fake of what a handler calls, and throws there if {@link #failTimes} says so for
     * this key. A handler is the user's code, so that the bus cannot fail it from outside.
     *
     * @throws IllegalStateException if this run is to fail
     */
    public void failPoint(String key) {
        if (broker.faults().takes(Call.HANDLER_OF_KEY, key)) {
            throw new IllegalStateException("this handler fails because the test asked for it");
        }
    }

    // ---- Kafka

    /**
     * Takes a topic, or some partitions of it, out of reach as when they have no leader: sends fail, and readers get nothing from
     * there, until {@link #up}. Records of other partitions go past those that wait: this is how Kafka can change the order of
     * events of different keys. That of one key's events it changes only when a topic grows.
     *
     * @throws IllegalArgumentException if the topic has no such partition
     */
    public void down(String topic, int... partitions) {
        String physical = physical(topic);
        if (partitions.length == 0) {
            broker.faults().down(physical);
        }
        for (int partition : partitions) {
            Checks.inRange("partition", partition, 0, broker.partitionsToBe(physical) - 1);
            broker.faults().down(new TopicPartition(physical, partition));
        }
    }

    private String physical(String topic) {
        return physicalTopic.apply(Checks.topicName("topic", topic));
    }

    /**
     * Brings a topic back, with all its partitions.
     *
     * @throws IllegalArgumentException if nothing of it is down
     */
    public void up(String topic) {
        if (!broker.faults().up(physical(topic))) {
            throw new IllegalArgumentException(
                    "topic %s is not down, so it cannot come up; its name may be misspelt".formatted(topic));
        }
        broker.active();
    }

    /**
     * Puts the last record of an event on its topic once more: a duplicate on the wire, as after a relay's crash.
     *
     * @throws IllegalArgumentException if no topic has a record with that id in its header
     */
    public void duplicate(String eventId) {
        List<ConsumerRecord<byte[], byte[]>> records = broker.records(broker.topics()).stream()
                .filter(record -> hasId(record, eventId))
                .filter(record -> DeadLetter.of(record).origin() == null)
                .toList();
        if (records.isEmpty()) {
            throw new IllegalArgumentException(
                    "event %s is on no topic, so it cannot be delivered again; publish it first, and let the relay run"
                            .formatted(Checks.printable(eventId)));
        }
        broker.appendAgain(records.get(records.size() - 1));
    }

    private static boolean hasId(ConsumerRecord<?, ?> record, String eventId) {
        Header id = record.headers().lastHeader(EventHeaders.ID);
        return id != null && Arrays.equals(id.value(), eventId.getBytes(UTF_8));
    }

    /** The group deals its partitions out anew at the next passes: all are revoked first; with several members each moves on. */
    public void rebalance(String group) {
        broker.recallAll(group);
    }

    /**
     * The group's members are thrown out, as when they have not polled for too long. Each learns it in its next poll: its partitions
     * are lost, it commits nothing more of them, and joins anew.
     */
    public void expel(String group) {
        broker.expelAll(group);
    }

    // ---- crashes

    /**
     * A data source on which runners can crash and COMMITs can fail: for the inbox under test. What does not belong to a runner's pass, as
     * a query of the test, goes to the real one untouched.
     */
    public DataSource dataSource(DataSource real) {
        return new CrashingDataSource(real, broker.crashes(), broker.faults());
    }

    /** As {@link #crashAt(CrashPoint, int)}, the first time. */
    public void crashAt(CrashPoint point) {
        crashAt(point, 1);
    }

    /**
     * The runner that reaches the point for the {@code nth} time from now on ends there, as by a power cut: its transaction is rolled
     * back, its offsets are not committed, it has left its group, and the bus has let it go. Start another one in its place, built
     * anew. Once for each call. Relays do not crash: their leases are on the database's clock, which is not virtual.
     *
     * @throws IllegalArgumentException if {@code nth} is below 1
     */
    public void crashAt(CrashPoint point, int nth) {
        broker.crashes().crashAt(point, Checks.atLeast("nth", nth, 1));
    }
}
