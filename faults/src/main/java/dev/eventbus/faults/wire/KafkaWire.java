package dev.eventbus.faults.wire;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.faults.wire.LoopbackProxy.Dialogue;
import dev.eventbus.faults.wire.LoopbackProxy.Link;
import dev.eventbus.faults.wire.LoopbackProxy.Protocol;
import dev.eventbus.faults.wire.LoopbackProxy.Way;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Predicate;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceRequestData.PartitionProduceData;
import org.apache.kafka.common.message.ProduceRequestData.TopicProduceData;
import org.apache.kafka.common.message.ProduceResponseData;
import org.apache.kafka.common.message.ProduceResponseData.PartitionProduceResponse;
import org.apache.kafka.common.message.ProduceResponseData.TopicProduceResponse;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.requests.RequestUtils;
import org.apache.kafka.common.requests.ResponseHeader;

/**
 * Kafka's protocol, with rules for the batches that producers send.
 *
 * <pre>{@code
 * KafkaWire wire = new KafkaWire();
 * LoopbackProxy network = LoopbackProxy.open(wire);
 * wire.when(batch -> batch.ids().contains("evt-7"), Fate.refused(Errors.UNKNOWN_SERVER_ERROR)).times(1);
 * }</pre>
 *
 * <p>A producer with {@code acks=0} gets no replies and is left alone. Thread-safe.
 */
public final class KafkaWire implements Protocol {

    /**
     * A batch on its way to the broker.
     *
     * @param number in order of their coming, from 1
     * @param ids of its events
     * @param bytes of all its records
     */
    public record Batch(int number, Uuid topic, int partition, List<String> ids, int bytes) {}

    /** What becomes of a batch. */
    public sealed interface Fate {

        /** None; it is counted. */
        static Fate passed() {
            return new Passed();
        }

        /** The broker never sees it, and the producer is told an error, as when a broker fails before it writes. */
        static Fate refused(Errors error) {
            return new Refused(error);
        }

        /** The broker writes it, and the producer is told an error. */
        static Fate writtenButDenied(Errors error) {
            return new Denied(error);
        }

        /** The broker writes it, and the connection ends before its reply. */
        static Fate replyLost() {
            return new ReplyLost();
        }

        /** The broker writes it, and the connection says nothing more to its client. */
        static Fate replyNeverComes() {
            return new ReplyNeverComes();
        }

        /** The broker judges it alone: nothing that is said after it on its connection arrives before it is answered. */
        static Fate between(Runnable before, Runnable after) {
            return new Between(before, after);
        }
    }

    private record Passed() implements Fate {}

    private record Refused(Errors error) implements Fate {}

    private record Denied(Errors error) implements Fate {}

    private record ReplyLost() implements Fate {}

    private record ReplyNeverComes() implements Fate {}

    private record Between(Runnable before, Runnable after) implements Fate {}

    /** Batches that fit meet their fate. */
    public static final class Rule {
        private final Predicate<Batch> which;
        private final Fate fate;
        private final AtomicInteger hits = new AtomicInteger();
        private volatile int times = Integer.MAX_VALUE;

        private Rule(Predicate<Batch> which, Fate fate) {
            this.which = which;
            this.fate = fate;
        }

        /** Only so many batches; by default all. */
        public Rule times(int most) {
            this.times = most;
            return this;
        }

        /** How many batches have met their fate. */
        public int hits() {
            return hits.get();
        }

        private synchronized boolean takes(Batch batch) {
            boolean taken = hits.get() < times && which.test(batch);
            if (taken) {
                hits.incrementAndGet();
            }
            return taken;
        }
    }

    private final AtomicInteger batches = new AtomicInteger();
    private final List<Rule> rules = new CopyOnWriteArrayList<>();
    private final Map<ApiKeys, AtomicInteger> repliesToLose = new ConcurrentHashMap<>();
    private final AtomicInteger repliesLost = new AtomicInteger();

    /** Adds a rule. The first that fits a batch counts, those that are used up aside. */
    public Rule when(Predicate<Batch> which, Fate fate) {
        Rule rule = new Rule(which, fate);
        rules.add(rule);
        return rule;
    }

    /**
     * The next requests of a kind other than Produce are carried out, and the connection ends before the reply.
     *
     * @param times how many; replaces what was left of an earlier call
     */
    public void loseReplies(ApiKeys to, int times) {
        repliesToLose.put(to, new AtomicInteger(times));
    }

    /** How many replies have been lost by {@link #loseReplies}. */
    public int repliesLost() {
        return repliesLost.get();
    }

    private boolean losesReply(ApiKeys to) {
        AtomicInteger left = repliesToLose.get(to);
        return left != null && left.getAndUpdate(times -> Math.max(0, times - 1)) > 0;
    }

    /** Ends all rules. */
    public void forgetRules() {
        rules.clear();
        repliesToLose.clear();
    }

    /** How many batches have come. */
    public int batches() {
        return batches.get();
    }

    @Override
    public Dialogue begin(Link link) {
        return new Connection(link);
    }

    /** What is altered in the answer to one partition of a request. */
    private record Told(String topic, Uuid topicId, int partition, Errors error) {}

    /** A request that has no answer yet. */
    private static final class Asked {
        final RequestHeader header;
        final List<Told> told = new ArrayList<>();
        final Set<Fate> fates = new HashSet<>();
        final CountDownLatch answered = new CountDownLatch(1);

        /** Whether the broker knows nothing of it, so that the answer is ours. */
        boolean ours;

        Asked(RequestHeader header) {
            this.header = header;
        }

        List<Between> between() {
            return fates.stream()
                    .filter(Between.class::isInstance)
                    .map(Between.class::cast)
                    .toList();
        }

        boolean meets(Class<? extends Fate> fate) {
            return fates.stream().anyMatch(fate::isInstance);
        }
    }

    private final class Connection implements Dialogue {
        private final Link link;

        /** In order; a client takes its answers in no other. Guarded by this, and so is what follows. */
        private final Deque<Asked> unanswered = new ArrayDeque<>();

        private boolean silent;

        Connection(Link link) {
            this.link = link;
        }

        @Override
        public void forward(Way way, DataInputStream from) throws IOException {
            byte[] frame = new byte[from.readInt()];
            from.readFully(frame);
            if (way == Way.TO_SERVER) {
                asked(frame);
            } else {
                answered(frame);
            }
        }

        private void asked(byte[] frame) throws IOException {
            ByteBuffer buffer = ByteBuffer.wrap(frame);
            Asked asked = new Asked(RequestHeader.parse(buffer));
            if (asked.header.apiKey() != ApiKeys.PRODUCE) {
                if (losesReply(asked.header.apiKey())) {
                    asked.fates.add(Fate.replyLost());
                }
                pass(asked, frame);
                return;
            }
            ProduceRequestData request = ProduceRequest.parse(new ByteBufferAccessor(buffer), asked.header.apiVersion())
                    .data();
            if (request.acks() == 0) {
                write(Way.TO_SERVER, frame);
                return;
            }
            byte[] forwarded = frame;
            if (judge(request, asked)) {
                asked.ours = request.topicData().isEmpty();
                forwarded = RequestUtils.serialize(
                                asked.header.data(), asked.header.headerVersion(), request, asked.header.apiVersion())
                        .array();
            }
            List<Between> between = asked.between();
            between.forEach(fate -> fate.before().run());
            pass(asked, forwarded);
            if (!between.isEmpty()) {
                awaitAnswer(asked);
                between.forEach(fate -> fate.after().run());
            }
        }

        private synchronized void pass(Asked asked, byte[] frame) {
            unanswered.add(asked);
            if (!asked.ours) {
                write(Way.TO_SERVER, frame);
            }
            answerOurs();
        }

        private static void awaitAnswer(Asked asked) throws IOException {
            try {
                if (!asked.answered.await(30, TimeUnit.SECONDS)) {
                    throw new IOException("the broker did not answer");
                }
            } catch (InterruptedException e) {
                throw new InterruptedIOException();
            }
        }

        /** Finds the fate of each batch, and takes those out that are refused. Returns whether any were. */
        private boolean judge(ProduceRequestData request, Asked asked) {
            boolean altered = false;
            for (Iterator<TopicProduceData> topics = request.topicData().iterator(); topics.hasNext(); ) {
                TopicProduceData topic = topics.next();
                altered |= topic.partitionData().removeIf(partition -> isRefused(topic, partition, asked));
                if (topic.partitionData().isEmpty()) {
                    topics.remove();
                }
            }
            return altered;
        }

        private boolean isRefused(TopicProduceData topic, PartitionProduceData partition, Asked asked) {
            Batch batch = batch(topic, partition);
            for (Rule rule : rules) {
                if (rule.takes(batch)) {
                    asked.fates.add(rule.fate);
                    Errors error = rule.fate instanceof Refused refused
                            ? refused.error()
                            : rule.fate instanceof Denied denied ? denied.error() : Errors.NONE;
                    if (error != Errors.NONE) {
                        asked.told.add(new Told(topic.name(), topic.topicId(), partition.index(), error));
                    }
                    return rule.fate instanceof Refused;
                }
            }
            return false;
        }

        private Batch batch(TopicProduceData topic, PartitionProduceData partition) {
            MemoryRecords records = (MemoryRecords) partition.records();
            List<String> ids = new ArrayList<>();
            for (Record record : records.records()) {
                for (var header : record.headers()) {
                    if (header.key().equals("id")) {
                        ids.add(new String(header.value(), UTF_8));
                    }
                }
            }
            return new Batch(batches.incrementAndGet(), topic.topicId(), partition.index(), ids, records.sizeInBytes());
        }

        private synchronized void answered(byte[] frame) {
            Asked asked = unanswered.remove();
            asked.answered.countDown();
            if (asked.meets(ReplyLost.class)) {
                repliesLost.addAndGet(asked.header.apiKey() == ApiKeys.PRODUCE ? 0 : 1);
                link.reset();
                silent = true;
            }
            silent |= asked.meets(ReplyNeverComes.class);
            byte[] forwarded = frame;
            if (!asked.told.isEmpty()) {
                ByteBuffer buffer = ByteBuffer.wrap(frame);
                short headerVersion = asked.header.toResponseHeader().headerVersion();
                ResponseHeader.parse(buffer, headerVersion);
                forwarded = answer(
                        asked, new ProduceResponseData(new ByteBufferAccessor(buffer), asked.header.apiVersion()));
            }
            writeToClient(forwarded);
            answerOurs();
        }

        /** Answers that are ours wait until those before them are given. */
        private void answerOurs() {
            while (!unanswered.isEmpty() && unanswered.element().ours) {
                writeToClient(answer(unanswered.remove(), new ProduceResponseData()));
            }
        }

        private byte[] answer(Asked asked, ProduceResponseData response) {
            for (Told told : asked.told) {
                TopicProduceResponse topic = response.responses().find(told.topic(), told.topicId());
                if (topic == null) {
                    topic = new TopicProduceResponse().setName(told.topic()).setTopicId(told.topicId());
                    response.responses().add(topic);
                }
                topic.partitionResponses().removeIf(partition -> partition.index() == told.partition());
                topic.partitionResponses()
                        .add(new PartitionProduceResponse()
                                .setIndex(told.partition())
                                .setErrorCode(told.error().code())
                                .setBaseOffset(-1));
            }
            var header = asked.header.toResponseHeader();
            return RequestUtils.serialize(header.data(), header.headerVersion(), response, asked.header.apiVersion())
                    .array();
        }

        private void writeToClient(byte[] frame) {
            if (!silent) {
                write(Way.TO_CLIENT, frame);
            }
        }

        private void write(Way way, byte[] frame) {
            link.write(
                    way,
                    ByteBuffer.allocate(Integer.BYTES + frame.length)
                            .putInt(frame.length)
                            .put(frame)
                            .array());
        }
    }
}
