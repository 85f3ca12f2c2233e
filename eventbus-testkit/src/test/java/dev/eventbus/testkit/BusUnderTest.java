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

/** A cluster as {@link BusContract} needs it, in memory or real. What was started ends with {@link #close()}. */
public interface BusUnderTest extends AutoCloseable {

    /** What runners are built on. */
    KafkaCluster kafka();

    /** Makes a topic that nobody else uses; its name. */
    String newTopic(int partitions);

    /** Puts a record on its topic and waits until it is there. */
    void send(ProducerRecord<byte[], byte[]> record);

    /** Starts a runner that was built on {@link #kafka()}, or on a cluster around it. */
    void start(ConsumerRunner runner);

    /** Throws the members of a group out; each learns it by itself and joins anew. */
    void expel(String group);

    /** So many of the next sends to a topic arrive, and whoever sent them has no answer. Closing fails if that has not come about. */
    void loseAnswersFrom(String topic, int times);

    /** So many of the next offset commits of a group take place without an answer. Closing fails if that has not come about. */
    void loseCommitAnswersTo(String group, int times);

    /** A ledger in a database of its own. */
    Ledger newLedger() throws SQLException;

    /** An inbox in a {@link #newLedger()}. */
    JdbcInbox inboxOf(Ledger ledger);

    /**
     * The transaction on {@link #inboxOf} that calls this gets no answer to its COMMIT.
     *
     * @param arrives whether the database commits it, or never hears of it
     */
    void loseThisCommit(boolean arrives);

    /** Waits until a condition holds; fails, saying what was waited for, if that takes too long. */
    void await(String what, BooleanSupplier condition);

    /** All that stands on a topic and is committed. */
    List<ConsumerRecord<byte[], byte[]>> records(String topic);

    /** The offset after which a group goes on. */
    OptionalLong committed(String group, String topic, int partition);

    @Override
    void close();
}
