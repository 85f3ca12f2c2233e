package dev.eventbus.consumer;

import dev.eventbus.Event;
import dev.eventbus.consumer.InFlight.Delivered;
import dev.eventbus.consumer.LaneWorkers.Progress;
import dev.eventbus.consumer.Routes.Batched;
import dev.eventbus.consumer.Routes.Batching;
import dev.eventbus.consumer.Routes.Route;
import dev.eventbus.consumer.SharedTurn.Together;
import dev.eventbus.consumer.inbox.AttemptStore.AloneTurn;
import dev.eventbus.consumer.inbox.BatchWork.Lender;
import dev.eventbus.consumer.inbox.HandlerTransactionException;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.internal.AtWork;
import dev.eventbus.consumer.internal.ParkedKeys;
import dev.eventbus.consumer.internal.SparseLog;
import dev.eventbus.internal.Fatal;
import dev.eventbus.topics.KafkaCluster;
import java.nio.ByteBuffer;
import java.sql.Connection;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One step of several records: of an inbox with {@code batching(n)} in one transaction, of a batch handler in one call. It is tried
 * once, and only with records that nothing has been tried with. Whatever does not simply succeed in it (a handler that throws, a mark
 * that somebody holds, a commit whose outcome is unknown) is left to {@link HandlerCall}, which runs such records one by one and
 * knows what to do about each. So a batch saves work when all goes well, and decides nothing when it does not.
 */
final class BatchCall implements LaneWorkers.Work {

    /** Events of a key that has failed are not batched for so long, so that they do not fail their neighbours' batches. */
    static final Duration FAILS_ALONE = Duration.ofMinutes(1);

    private static final int MOST_FAILING_KEYS = 10_000;

    private static final Logger LOG = LoggerFactory.getLogger(BatchCall.class);

    private record Key(String topic, ByteBuffer key) {}

    private final HandlerCall call;
    private final Routes routes;
    private final FailureRouter router;
    private final KafkaCluster kafka;
    private final String group;
    private final SparseLog sparse = new SparseLog(LOG);

    /** When a key has failed last. */
    private final Map<Key, Instant> failing = new ConcurrentHashMap<>();

    BatchCall(HandlerCall call, Routes routes, FailureRouter router, KafkaCluster kafka, String group) {
        this.call = call;
        this.routes = routes;
        this.router = router;
        this.kafka = kafka;
        this.group = group;
    }

    @Override
    public Progress advance(InFlight record) {
        Progress progress = call.advance(record);
        if (record.attempts() > 0 && routes.batches()) {
            failed(record);
        }
        return progress;
    }

    @Override
    public @Nullable Together together(InFlight first) {
        if (!routes.batches()) {
            return null;
        }
        Member member = member(first);
        return member == null || member.route.batching().most() == 1 ? null : new Step(member);
    }

    @Override
    public AloneTurn alone() {
        JdbcInbox inbox = routes.inbox();
        return inbox == null ? LaneWorkers.Work.super.alone() : inbox.attempts().alone();
    }

    /** A record that may share a step; null if it must run by itself. */
    private @Nullable Member member(InFlight record) {
        if (!record.isUntried() || isFailing(record) || !call.mayShare(record.record())) {
            return null;
        }
        String topic = kafka.logicalTopic(record.record().topic());
        if (routes.lettersOf(topic) != null) {
            return null;
        }
        try (AtWork.Step ignored = call.atWork(record)) {
            Event<?> event = call.decoded(record);
            Route route = routes.of(event);
            if (routes.skips(record.record(), group, route)) {
                record.runsByItself();
                return null;
            }
            return new Member(record, event, route, new Delivered(group, topic, record));
        } catch (Throwable e) { // by itself that is dealt with
            Fatal.rethrow(e);
            record.runsByItself();
            return null;
        }
    }

    private void failed(InFlight record) {
        Key key = keyOf(record);
        if (key != null) {
            Instant now = kafka.clock().instant();
            failing.values().removeIf(at -> isOver(at, now));
            if (failing.size() >= MOST_FAILING_KEYS) {
                failing.clear(); // then they fail a batch each
            }
            failing.put(key, now);
        }
    }

    private boolean isFailing(InFlight record) {
        if (failing.isEmpty()) {
            return false;
        }
        Key key = keyOf(record);
        Instant at = key == null ? null : failing.get(key);
        return at != null && !isOver(at, kafka.clock().instant());
    }

    private static boolean isOver(Instant failedAt, Instant now) {
        return now.isAfter(failedAt.plus(FAILS_ALONE)) || now.isBefore(failedAt);
    }

    /** Null for a record without a key, which has no successors. */
    private static @Nullable Key keyOf(InFlight record) {
        byte[] key = record.record().key();
        return key == null ? null : new Key(record.record().topic(), ByteBuffer.wrap(key));
    }

    /** A record in a step. */
    private static final class Member {
        private final InFlight record;
        private final Event<?> event;
        private final Route route;
        private final Delivered delivery;
        private long tookNanos;

        Member(InFlight record, Event<?> event, Route route, Delivered delivery) {
            this.record = record;
            this.event = event;
            this.route = route;
            this.delivery = delivery;
        }

        boolean isOf(Set<Key> keys) {
            Key key = keyOf(record);
            return key != null && keys.contains(key);
        }
    }

    /** A record that must wait stands before one of its key that was about to run. */
    private static final class PredecessorWaits extends Exception {
        private static final long serialVersionUID = 1;

        private final transient Set<Key> keys;

        /** @param keys of those that must wait */
        PredecessorWaits(Set<Key> keys) {
            super(null, null, false, false);
            this.keys = keys;
        }
    }

    /** The events that one transaction or one call of a handler takes. */
    private final class Step implements Together {

        private final Batching batching;
        private final boolean once;
        private final List<Member> members = new ArrayList<>();
        private final Set<String> ids = new HashSet<>();
        private final Map<InFlight, Member> prepared = new IdentityHashMap<>();

        Step(Member first) {
            this.batching = first.route.batching();
            this.once = first.route instanceof Route.Once;
            members.add(first);
            ids.add(first.event.id());
        }

        @Override
        public boolean prepares(InFlight record) {
            Member member = member(record);
            if (member == null || !isOfThisKind(member.route)) {
                return false;
            }
            prepared.put(record, member);
            return true;
        }

        @Override
        public int room() {
            return batching.most() - members.size();
        }

        @Override
        public boolean takes(InFlight record) {
            Member member = prepared.remove(record);
            return member != null
                    && room() > 0
                    && (!once || ids.add(member.event.id())) // the inbox tells a repeat only from what is committed
                    && members.add(member);
        }

        /** One call is for one type; handlers that are called one by one share a transaction whatever their types. */
        private boolean isOfThisKind(Route route) {
            return batching.handler() == null
                    ? route instanceof Route.Once && route.batching().handler() == null
                    : route.batching() == batching;
        }

        @Override
        public List<Progress> advance() {
            HandlerCall.startAfresh();
            ParkedKeys keys = router.parkedKeys();
            List<ConsumerRecord<byte[], byte[]>> records =
                    members.stream().map(member -> member.record.record()).toList();
            try (AtWork.Step step = call.atWork(members.get(0).record)) {
                step.goesOnWith(records.get(0), records.size());
                return keys == null ? handle(step) : keys.live(records, () -> handle(step));
            } catch (Throwable e) {
                return failed(e);
            }
        }

        /** Their keys may have been parked since they were taken. */
        private List<Progress> handle(AtWork.Step step) throws Exception {
            if (call.wasInterrupted() || !members.stream().allMatch(member -> call.mayShare(member.record.record()))) {
                return Collections.nCopies(members.size(), Progress.BY_ITSELF);
            }
            return once ? inTransaction(step) : atLeastOnce();
        }

        private List<Progress> atLeastOnce() throws Exception {
            handle(members, null);
            List<Progress> ended = new ArrayList<>();
            members.forEach(member -> ended.add(handled(member)));
            return ended;
        }

        /** Nothing has run where a predecessor waits; the events of its key run by themselves then, and the others together. */
        private List<Progress> inTransaction(AtWork.Step step) throws Exception {
            try {
                return inTransaction(members, step);
            } catch (PredecessorWaits waits) {
                List<Member> others = members.stream()
                        .filter(member -> !member.isOf(waits.keys))
                        .toList();
                List<Progress> came = new ArrayList<>(others.isEmpty() ? List.of() : inTransaction(others, step));
                for (int i = 0; i < members.size(); i++) {
                    if (members.get(i).isOf(waits.keys)) {
                        came.add(i, Progress.BY_ITSELF);
                    }
                }
                return came;
            }
        }

        private List<Progress> inTransaction(List<Member> together, AtWork.Step step) throws Exception {
            List<Mark> marks = new ArrayList<>();
            for (Member member : together) {
                Mark mark = Mark.of(group, member.event.id(), member.record.record());
                member.record.mark(mark);
                marks.add(mark);
            }
            List<MarkResult> results = routes.requireInbox()
                    .runAll(marks, (lender, decided) -> handleOurs(together, lender, decided, step));
            boolean[] ends = ends(together, results);
            List<Progress> came = new ArrayList<>();
            for (int i = 0; i < ends.length; i++) {
                came.add(ends[i] ? ended(together.get(i), results.get(i)) : Progress.BY_ITSELF);
            }
            return came;
        }

        private void handleOurs(List<Member> together, Lender lender, List<MarkResult> results, AtWork.Step step)
                throws Exception {
            boolean[] ends = ends(together, results);
            List<Member> ours = new ArrayList<>();
            Set<Key> waiting = new HashSet<>();
            for (int i = 0; i < ends.length; i++) {
                if (results.get(i) instanceof MarkResult.Decided) {
                    Key key = ends[i] ? null : keyOf(together.get(i).record);
                    if (key != null) { // one without a key waits for nobody
                        waiting.add(key);
                    }
                    ours.add(together.get(i));
                }
            }
            if (!waiting.isEmpty()) {
                throw new PredecessorWaits(waiting);
            }
            if (batching.handler() != null) {
                lender.lend(transaction -> handle(ours, transaction));
                return;
            }
            for (Member member : ours) {
                step.goesOnWith(member.record.record(), 1);
                lender.lend(transaction -> handle(member, transaction));
            }
            step.goesOnWith(together.get(0).record.record(), together.size());
        }

        /** Which end in this step: ours, and repeats, unless one that must wait stands before them in their lane. */
        private static boolean[] ends(List<Member> together, List<MarkResult> results) {
            boolean[] ends = new boolean[results.size()];
            Set<Key> waiting = new HashSet<>();
            for (int i = 0; i < ends.length; i++) {
                Key key = keyOf(together.get(i).record);
                ends[i] = (results.get(i) instanceof MarkResult.Decided || isRepeat(results.get(i)))
                        && (key == null || !waiting.contains(key));
                if (!ends[i] && key != null) {
                    waiting.add(key);
                }
            }
            return ends;
        }

        private static boolean isRepeat(MarkResult result) {
            return result instanceof MarkResult.Known known
                    && known.outcome() != Outcome.DYING
                    && known.outcome() != Outcome.PARKED;
        }

        private void handle(Member member, Connection transaction) throws Exception {
            long began = System.nanoTime();
            Route.Once route = (Route.Once) member.route;
            call.inUserCode(
                    member.event,
                    member.delivery,
                    () -> route.handler().handle(call.handedOut(member.record), member.delivery.in(transaction)));
            member.tookNanos = System.nanoTime() - began;
        }

        private void handle(List<Member> list, @Nullable Connection transaction) throws Exception {
            long began = System.nanoTime();
            Member first = list.get(0);
            List<Event<Object>> events =
                    list.stream().map(member -> call.handedOut(member.record)).toList();
            call.inUserCode(
                    first.event, first.delivery, () -> batching.handle(events, new Batched(group, 1, transaction)));
            long each = (System.nanoTime() - began) / list.size();
            list.forEach(member -> member.tookNanos = each);
        }

        private Progress ended(Member member, MarkResult result) {
            return result instanceof MarkResult.Known known
                    ? router.known(member.record, known.outcome())
                    : handled(member);
        }

        private Progress handled(Member member) {
            return call.handled(
                    member.event, member.delivery, member.route.watch(), Duration.ofNanos(member.tookNanos));
        }

        private List<Progress> failed(Throwable cause) {
            Fatal.rethrow(cause);
            if (cause instanceof HandlerTransactionException lost) {
                LOG.error("{} Their partitions stop.", lost.getMessage());
                return Collections.nCopies(
                        members.size(), new Progress.Stops("a handler ended a transaction of several events"));
            }
            if (!(cause instanceof PredecessorWaits)) {
                sparse.warn(
                        kafka.clock().instant(),
                        cause.getClass().getName(),
                        "{} events that were handled together failed with {}, and nothing of it was committed; each runs by itself now, without having used an attempt{}",
                        members.size(),
                        cause.getClass().getName());
            }
            return Collections.nCopies(members.size(), Progress.BY_ITSELF);
        }
    }
}
