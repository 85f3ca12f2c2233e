package dev.eventbus.outbox;

import dev.eventbus.EventRecords;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.outbox.KafkaSink.SendFault;
import dev.eventbus.outbox.TopicBreakers.KafkaFault;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.RowKey;
import dev.eventbus.topics.ClusterProbe;
import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import org.apache.kafka.clients.producer.BufferExhaustedException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Hands rows to the producer in order and settles what becomes of them. An event that failed goes alone the next time; one that
 * keeps failing asks for its key to be blocked; a topic that cannot be written to waits. One thread only.
 */
final class EventSender {

    private static final Duration SILENCE_TOLD_AFTER = Duration.ofSeconds(3);

    private static final Logger LOG = LoggerFactory.getLogger(EventSender.class);

    /** An event that has failed and is not settled. */
    private static final class Suspect {
        final String topic;
        Instant since;
        int failures;
        final Set<String> sentLater = new LinkedHashSet<>();

        Suspect(String topic, Instant since) {
            this.topic = topic;
            this.since = since;
        }

        boolean isRefused(SendFault fault, Instant now) {
            since = now.isBefore(since) ? now : since; // the clock was set back
            return failures >= fault.tries() && !now.isBefore(since.plus(fault.patience()));
        }
    }

    /** A key that is to be blocked. */
    record Refused(OutboxRow row, String reason, String error, List<String> sentLater) {}

    private final KafkaCluster kafka;
    private final KafkaSink sink;
    private final InFlight inFlight;
    private final TopicBreakers breakers;
    private final RelayEvents events;
    private final ClusterProbe probe;

    private final Map<RowKey, Suspect> suspects = new HashMap<>();
    private final List<Refused> refused = new ArrayList<>();
    private final Set<Integer> shardsToReread = new HashSet<>();
    private boolean topicLetIn;
    private boolean fenced;
    private boolean acked;

    EventSender(KafkaCluster kafka, KafkaSink sink, InFlight inFlight, TopicBreakers breakers, RelayEvents events) {
        this.kafka = kafka;
        this.sink = sink;
        this.inFlight = inFlight;
        this.breakers = breakers;
        this.events = events;
        this.probe = new ClusterProbe(kafka);
    }

    /** Takes a row that was read. Rows of one key must come in order. */
    void accept(OutboxRow row, int partitions) {
        inFlight.add(
                row,
                kafka.physicalTopic(row.event().topic()),
                EventRecords.partition(row.event().key(), partitions));
    }

    /** Turns down a row that must not become a record. Later rows of its key must not be accepted. */
    void turnDown(OutboxRow row, String reason, String error) {
        refused.add(new Refused(row, reason, error, List.of()));
        shardsToReread.add(row.key().shard());
    }

    /** Hands over all that may go now. Returns whether anything did. */
    boolean send() {
        boolean any = false;
        if (!suspects.isEmpty() || !breakers.areClosed()) {
            for (InFlight.Lane lane :
                    inFlight.lanes()) { // first, or rows that need not go alone would leave them no room
                any |= sink.isOpen() && lane.hasNext() && mustGoAlone(lane) && sendNext(lane);
            }
        }
        for (InFlight.Lane lane : inFlight.lanes()) {
            while (sink.isOpen() && lane.hasNext() && sendNext(lane)) {
                any = true;
            }
        }
        sink.flush();
        return any;
    }

    /** Whether what comes next in a lane has failed before, or is the trial of its topic. */
    private boolean mustGoAlone(InFlight.Lane lane) {
        return !breakers.isClosed(lane.topic) || isSuspect(lane);
    }

    private boolean isSuspect(InFlight.Lane lane) {
        return !suspects.isEmpty() && suspects.containsKey(lane.next());
    }

    private boolean sendNext(InFlight.Lane lane) {
        boolean trial = !breakers.isClosed(lane.topic);
        boolean alone = trial || lane.isCold(System.nanoTime()) || isSuspect(lane);
        if (!sink.takes(lane, alone)) {
            return false;
        }
        if (trial
                && (inFlight.handedOver(lane.topic) > 0 || !breakers.halfOpen().contains(lane.topic))) {
            return false;
        }
        OutboxRow row = inFlight.handOver(lane);
        boolean taken = sink.send(row, EventRecords.of(row.event(), lane.physicalTopic, lane.partition), alone);
        lane.alone = alone || !taken;
        return true;
    }

    /** Settles what the producer has reported. Returns whether there was anything. */
    boolean settle() {
        KafkaSink.Drained drained = sink.drain();
        for (KafkaSink.Outcome outcome : drained.outcomes()) {
            if (outcome instanceof KafkaSink.Outcome.Failed failure) {
                failed(failure);
            } else if (outcome instanceof KafkaSink.Outcome.Unsent unsent) {
                shardsToReread.addAll(inFlight.takeBack(unsent.row()));
                fenced |= unsent.fenced();
            } else {
                acked(outcome.row());
            }
        }
        events.tellAcked(kafka.clock().instant());
        if (!drained.shut().isEmpty()) {
            shardsToReread.addAll(drained.shut());
            inFlight.takeBackWaitingOf(drained.shut());
        }
        if (drained.stopped()) {
            abandon();
        }
        giveUpOnSilentTopics();
        tellWaiting();
        return !drained.outcomes().isEmpty() || drained.stopped();
    }

    private void acked(OutboxRow row) {
        OptionalLong nanos = inFlight.acked(row);
        if (nanos.isEmpty()) {
            return;
        }
        acked = true;
        events.acked(row, nanos.getAsLong());
        suspects.remove(row.key());
        if (breakers.hasFailedWithin(row.event().topic(), nanos.getAsLong())) {
            cool(row.event().topic());
        } else if (!breakers.areClosed()) {
            letIn(row.event().topic());
        }
    }

    /** A topic has taken an event, or has none to take and is known to the broker. */
    void letIn(String topic) {
        if (breakers.succeeded(topic)) {
            topicLetIn = true;
            if (breakers.takeToldResumed(topic)) {
                LOG.info("Topic {} of cluster {} can be written to again", topic, kafka.name());
                events.topicResumed(topic);
            }
        }
    }

    /**
     * An adoption of a topic's partitions has begun or ended.
     *
     * @param waits why the topic waits, if it does; else its next event is tried
     * @param sends whether this relay sends events; if not, there will be none to try, and others do
     */
    void adoption(String topic, Optional<KafkaAccessException> waits, boolean sends) {
        if (waits.isPresent()) {
            topicFailed(topic, waits.get());
        } else if (sends) {
            breakers.tryNow(topic);
        } else {
            letIn(topic);
        }
    }

    private void failed(KafkaSink.Outcome.Failed failure) {
        OutboxRow row = failure.row();
        Exception error = failure.error();
        events.sendFailed(row, error, inFlight.nanosSinceHandOver(row));
        SendFault fault = SendFault.of(error);
        if (fault != SendFault.TOPIC) {
            suspect(row, error, fault, failure.alone());
        }
        if (failure.alone()) {
            shardsToReread.addAll(inFlight.takeBack(row));
        }
        if (fault != SendFault.EVENT && !(error instanceof BufferExhaustedException)) {
            topicFailed(row.event().topic(), error);
        }
    }

    private void suspect(OutboxRow row, Exception error, SendFault fault, boolean alone) {
        Suspect suspect = suspectOf(row);
        suspect.failures++;
        suspect.sentLater.addAll(inFlight.ackedBehind(row));
        if (alone && suspect.isRefused(fault, kafka.clock().instant())) {
            suspects.remove(row.key());
            refused.add(new Refused(row, fault.reason(), error.getClass().getName(), List.copyOf(suspect.sentLater)));
        }
    }

    private Suspect suspectOf(OutboxRow row) {
        return suspects.computeIfAbsent(
                row.key(), any -> new Suspect(row.event().topic(), kafka.clock().instant()));
    }

    /** 0 if the topic cannot be written to now; it then waits. */
    int partitionsOf(String topic, TopicPartitions partitions, Connection connection) throws SQLException {
        try {
            return partitions.count(connection, topic);
        } catch (KafkaSink.StoppedException e) {
            return 0;
        } catch (RuntimeException e) {
            topicFailed(topic, e);
            return 0;
        }
    }

    /** Makes a topic wait; its events stay in the outbox. */
    void topicFailed(String topic, Exception error) {
        KafkaFault fault = KafkaFault.of(kafka, topic, error, probe);
        breakers.failed(topic, fault.text(), fault.definite());
        shardsToReread.addAll(inFlight.takeBackWaiting(topic));
        cool(topic);
        tellWaiting();
    }

    /** It may come back as another topic of its name, which does not know the producer. */
    private void cool(String topic) {
        for (InFlight.Lane lane : inFlight.lanes()) {
            if (lane.topic.equals(topic)) {
                lane.ackedAt = OptionalLong.empty();
            }
        }
    }

    /** Of a topic that came back for a moment it is told later, though nothing of it fails any more. */
    private void tellWaiting() {
        if (breakers.areClosed()) {
            return;
        }
        breakers.waiting().forEach((topic, retryAt) -> {
            if (breakers.takeToldWaits(topic)) {
                String problem = breakers.problem(topic);
                LOG.warn("{} Next try at {}.", problem, retryAt);
                events.topicWaits(topic, problem, retryAt);
            }
        });
    }

    /**
     * A topic that has just fallen silent is given up with the whole producer: a batch that is split without end looks like this, and
     * what its head is to blame for shows when it goes alone. Afterwards what is tried of such a topic stays in the producer's hands,
     * unless that becomes so much that others would suffer.
     */
    private void giveUpOnSilentTopics() {
        Duration patience = sink.patience();
        InFlight.Silent silent = inFlight.silentFor(patience);
        boolean giveUp = silent.load().isPart(0.25);
        for (String topic : silent.topics()) {
            if (breakers.isClosed(topic)) {
                giveUp = true;
                topicFailed(topic, new KafkaFault.Silence(topic, patience));
            }
        }
        if (giveUp) {
            silent.heads().forEach(this::suspectOf);
            abandon();
        }
    }

    /**
     * Forgets what was learnt about topics and events, the verdicts too, and gives up what is under way: others send them now. What is
     * acknowledged is given up too: Kafka may have taken it after they began, and behind what an adoption of partitions has waited for. If
     * its row were deleted, they would go on with the next of its key in another partition; while it is there, they send it first.
     */
    void standBy() {
        abandon();
        sink.drain(); // nor does what it has said count
        inFlight.clear();
        breakers.clear();
        suspects.clear();
        refused.clear();
    }

    /** Closes the producer, if it is not, and takes back all that is not acknowledged; only then may another be opened. */
    void abandon() {
        sink.retire();
        shardsToReread.addAll(inFlight.takeBackAll());
    }

    /** Takes back what was not handed over of shards that this relay is about to give back. */
    void takeBackWaiting(Set<Integer> shards) {
        if (!shards.isEmpty()) {
            inFlight.takeBackWaitingOf(shards);
        }
    }

    /** Forgets what was learnt about the events of a shard; another relay deals with them now. */
    void forget(int shard) {
        inFlight.forgetLocked(shard);
        suspects.keySet().removeIf(row -> row.shard() == shard);
        refused.removeIf(refusal -> refusal.row().key().shard() == shard);
    }

    /** Takes back all that was not handed over; at the end. */
    void takeBackWaiting() {
        shardsToReread.addAll(inFlight.takeBackWaiting());
    }

    /** Whether another round now could settle an event that has failed, or send those of a topic that was let in. */
    boolean hasUnsettled() {
        return topicLetIn
                || !refused.isEmpty()
                || suspects.values().stream().anyMatch(suspect -> breakers.isClosed(suspect.topic));
    }

    /** Topics that take events and acknowledge none, in words; before they are made to wait. */
    List<String> silences() {
        return inFlight.silentFor(SILENCE_TOLD_AFTER).topics().stream()
                .filter(breakers::isClosed)
                .sorted()
                .map(topic -> KafkaFault.of(kafka, topic, new KafkaFault.Silence(topic, SILENCE_TOLD_AFTER), probe)
                        .text())
                .toList();
    }

    /** The next keys to block, all of one shard. They stay until {@link #forgetRefused}. */
    List<Refused> refused() {
        int shard = refused.isEmpty() ? -1 : refused.get(0).row().key().shard();
        return refused.stream()
                .takeWhile(next -> next.row().key().shard() == shard)
                .toList();
    }

    /** So many keys are blocked, or are somebody else's business now. */
    void forgetRefused(int keys) {
        refused.subList(0, keys).clear();
    }

    /** Shards of which rows were taken back since the last call; they must be read from their beginning. */
    Set<Integer> takeShardsToReread() {
        Set<Integer> taken = Set.copyOf(shardsToReread);
        shardsToReread.clear();
        return taken;
    }

    /** Whether another relay has shown itself since the last call as the owner of a shard that this one sends. */
    boolean takeFenced() {
        boolean taken = fenced;
        fenced = false;
        return taken;
    }

    /** Whether Kafka has acknowledged anything since the last call. */
    boolean takeAcked() {
        boolean taken = acked;
        acked = false;
        return taken;
    }

    /** Whether a topic that was left out has been let in since the last call; then every shard must be read from its beginning. */
    boolean takeTopicLetIn() {
        boolean taken = topicLetIn;
        topicLetIn = false;
        return taken;
    }
}
