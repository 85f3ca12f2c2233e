package dev.eventbus.outbox;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.internal.Growth;
import dev.eventbus.internal.RunLoop;
import dev.eventbus.outbox.internal.GroupProgress;
import dev.eventbus.outbox.internal.TopicLookup;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.RecordedPartitions;
import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Stream;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How many partitions a topic is taken to have: the count recorded in {@code eventbus_meta} when it was first used, never what
 * the broker says today, since another count would move keys. One thread only.
 *
 * <p>The count is changed by an {@link Adoption}, which marks the record first: {@code 3} becomes {@code 3>6 token}. A relay reads
 * the records whenever it renews its leases. When it sees a mark, and its client knows the new partitions, it stops the topic, lets
 * what is on its way end, and says so under the token. Only when every living relay has, and what was sent until then has been handled,
 * does the record become {@code 6}. A relay that is not alive has no lease and sends nothing; one that comes finds the mark.
 */
final class TopicPartitions {

    private static final Logger LOG = LoggerFactory.getLogger(TopicPartitions.class);

    /** Prefix of what a relay says when it has nothing of a marked topic on its way any more; then token and owner. */
    private static final String SETTLED = "adopting.";

    private final OutboxStore store;
    private final KafkaCluster kafka;
    private final KafkaSink sink;
    private final InFlight inFlight;

    /** By physical topic, as last read from the database. */
    private final Map<String, RecordedPartitions> recorded = new HashMap<>();

    /** Physical topics that are stopped: an adoption goes on, or what was sent by another count is still on its way. */
    private final Set<String> stopped = new HashSet<>();

    /** Tokens under which this relay has said that it has settled. */
    private final Set<String> settled = new HashSet<>();

    /** Topics that have more partitions than recorded, each with what to say about it. */
    private final Map<String, String> grown = new TreeMap<>();

    /** Records that are no counts, each with what to say about it. */
    private final Map<String, String> unreadable = new TreeMap<>();

    private final TopicLookup lookup;

    /** @param lookup for topics that this relay has not sent to yet */
    TopicPartitions(OutboxStore store, KafkaCluster kafka, KafkaSink sink, InFlight inFlight, TopicLookup lookup) {
        this.lookup = lookup;
        this.store = store;
        this.kafka = kafka;
        this.sink = sink;
        this.inFlight = inFlight;
    }

    private static String prefix(KafkaCluster kafka) {
        return "partitions.%s.".formatted(kafka.name());
    }

    /**
     * The count that decides where a key goes.
     *
     * @throws KafkaException if the broker does not know the topic, does not show it, or has not answered yet
     * @throws KafkaAccessException while another count is being adopted, if the record cannot be read, or if there are fewer partitions
     */
    int count(Connection connection, String topic) throws SQLException {
        String physical = kafka.physicalTopic(topic);
        if (!recorded.containsKey(physical)) {
            lookup.require(physical);
        }
        int now = sink.partitionsFor(physical).size();
        if (now == 0) {
            throw unknown("Topic %s of cluster '%s' has no partitions: its events wait in the outbox and lose nothing."
                    .formatted(physical, kafka.name()));
        }
        RecordedPartitions known = recorded.get(physical);
        if (known == null) {
            String record = prefix(kafka) + physical;
            known = read(record, store.metaOnce(connection, record, String.valueOf(now)), this::unknown);
            take(physical, known);
        }
        Optional<KafkaAccessException> waits = adoption(topic);
        if (waits.isPresent()) {
            throw waits.get();
        }
        if (known.count() > now) {
            throw unknown(
                    "Topic %s of cluster '%s' has %d partitions, but %d are recorded for it in eventbus_meta: its events wait in the outbox and lose nothing. If it was made anew with fewer, give it %d again."
                            .formatted(physical, kafka.name(), now, known.count(), known.count()));
        }
        if (known.count() < now) {
            grown.put(
                    physical,
                    "Topic %s of cluster '%s' has grown to %d partitions; events go on using the first %d, so that no key changes its partition. Nothing is lost. OutboxAdmin.adoptPartitions makes use of the others."
                            .formatted(physical, kafka.name(), now, known.count()));
        } else {
            grown.remove(physical);
        }
        return known.count();
    }

    /** Reads the records again; of one that cannot be read, what was known stands. Returns the topics that must be stopped, or can go on. */
    Set<String> refresh(Connection connection) throws SQLException {
        Set<String> changed = new TreeSet<>();
        unreadable.clear();
        store.metas(connection, prefix(kafka)).forEach((name, value) -> {
            try {
                RecordedPartitions now = read(name, value, IllegalArgumentException::new);
                refresh(name.substring(prefix(kafka).length()), now, changed);
            } catch (IllegalArgumentException e) {
                unreadable.put(name, String.valueOf(e.getMessage()));
            }
        });
        return changed;
    }

    private void refresh(String physical, RecordedPartitions now, Set<String> changed) {
        RecordedPartitions before = recorded.get(physical);
        boolean known = before != null || now.isMarked();
        if (known && !now.equals(before) && (!now.isMarked() || isReadyFor(physical, now.target()))) {
            take(physical, now);
            changed.add(kafka.logicalTopic(physical));
        }
    }

    private KafkaAccessException unknown(String why) {
        return new KafkaAccessException(ErrorCode.KAFKA_FAILED, kafka.name(), why, new KafkaException(why));
    }

    /** @param problem what to throw, of what is wrong with a record, what becomes of the events, and the fix */
    private static <E extends Exception> RecordedPartitions read(
            String record, String value, Function<String, E> problem) throws E {
        try {
            return RecordedPartitions.parse(value);
        } catch (IllegalArgumentException e) {
            throw problem.apply(
                    "The record %s in eventbus_meta cannot be read: %s. Relays that know the count from before go on with it; at others the events of this topic wait in the outbox and lose nothing. Set it to the count that was in use."
                            .formatted(record, e.getMessage()));
        }
    }

    private void take(String physical, RecordedPartitions now) {
        RecordedPartitions before = recorded.put(physical, now);
        grown.remove(physical); // if that is still so, it is seen again
        boolean asBefore = before != null && before.count() == now.count();
        if (now.isMarked() || !asBefore && inFlight.holds(kafka.logicalTopic(physical))) {
            stopped.add(physical);
        } else if (asBefore) {
            stopped.remove(physical); // an adoption was given up
        }
    }

    /** Until the client knows the new partitions, a topic need not be stopped; one that it does not know at all it will ask for anew. */
    private boolean isReadyFor(String physical, int partitions) {
        try {
            return !sink.isOpen() || sink.partitionsFor(physical).size() >= partitions;
        } catch (RuntimeException e) {
            return true;
        }
    }

    /** Says of topics that are being adopted that nothing of them is on its way here, as soon as that is so. */
    void tellSettled(Connection connection, String owner) throws SQLException {
        for (String physical : stopped) {
            RecordedPartitions now = recorded.get(physical);
            if (now != null
                    && now.isMarked()
                    && !settled.contains(now.token())
                    && !inFlight.holds(kafka.logicalTopic(physical))) {
                store.metaOnce(connection, SETTLED + now.token() + "." + owner, physical);
                settled.add(now.token());
            }
        }
    }

    /** Why a topic waits, if another count is being adopted for it. */
    Optional<KafkaAccessException> adoption(String topic) {
        String physical = kafka.physicalTopic(topic);
        RecordedPartitions now = recorded.get(physical);
        if (now == null || !stopped.contains(physical)) {
            return Optional.empty();
        }
        if (!now.isMarked() && !inFlight.holds(topic)) {
            stopped.remove(physical);
            return Optional.empty();
        }
        return Optional.of(new KafkaAccessException(
                ErrorCode.PARTITIONS_ARE_ADOPTED,
                kafka.name(),
                "Topic %s of cluster '%s' is going from %d to %d partitions: its events wait in the outbox and lose nothing until all that was sent before has been handled. If nobody is doing that any more, call OutboxAdmin.adoptPartitions again."
                        .formatted(physical, kafka.name(), now.count(), now.target()),
                new KafkaException("partitions are being adopted")));
    }

    /** Whether the client has learnt anything about a topic. Never waits. */
    boolean isKnown(String topic) {
        String physical = kafka.physicalTopic(topic);
        if (lookup.isPending(physical) || lookup.isRefused(physical)) { // then the producer must not be asked
            return lookup.isRefused(physical);
        }
        try {
            return !sink.partitionsFor(physical).isEmpty();
        } catch (TimeoutException e) {
            return e.getCause() != null;
        } catch (RuntimeException e) {
            return true;
        }
    }

    /** This relay has nothing to send: what it has asked for topics meanwhile is forgotten. */
    void standBy() {
        lookup.forget();
    }

    List<String> problems() {
        return Stream.of(unreadable, grown)
                .flatMap(found -> found.values().stream())
                .toList();
    }

    /** One change of the count, in the caller's thread. If it does not come to its end, the count stays as it was. */
    static final class Adoption {

        private static final Duration LOOK_EVERY = Duration.ofMillis(100);

        private final OutboxAdmin admin;
        private final OutboxStore store;
        private final KafkaCluster kafka;
        private final String physical;
        private final Set<String> groups;
        private final GroupProgress progress;

        Adoption(OutboxAdmin admin, OutboxStore store, KafkaCluster kafka, String topic, Set<String> groups) {
            this.admin = admin;
            this.store = store;
            this.kafka = kafka;
            this.physical = kafka.physicalTopic(topic);
            this.groups = groups;
            this.progress = new GroupProgress(kafka, physical);
        }

        /** Something that is waited for; who it is that it waits for, nobody when it is there. */
        private interface Awaited {
            SortedSet<String> missing() throws SQLException;
        }

        /** @return the count from now on */
        int run(Duration limit) throws SQLException {
            int now = progress.partitions();
            Optional<RecordedPartitions> marked = admin.inTransaction(connection -> mark(connection, now));
            return marked.isEmpty() ? now : run(marked.get(), limit);
        }

        private int run(RecordedPartitions marked, Duration limit) throws SQLException {
            long deadline = System.nanoTime() + limit.toNanos();
            try {
                await(deadline, () -> unsettled(marked), "relays have not settled what they have on its way: %s");
                Map<TopicPartition, Long> ends = progress.ends(marked.count());
                Awaited handled = () -> progress.behind(groups, ends);
                await(deadline, handled, "consumer groups have not handled all that was sent before: %s");
                awaitKnowing();
                if (!admin.inTransaction(connection -> replace(connection, marked, marked.target()))) {
                    throw refused("somebody else has ended this adoption; see what is recorded in eventbus_meta");
                }
            } catch (SQLException | RuntimeException e) {
                giveUp(marked, e);
                throw e;
            }
            LOG.info(
                    "Topic {} of cluster {} uses {} partitions, no longer {}",
                    physical,
                    kafka.name(),
                    marked.target(),
                    marked.count());
            return marked.target();
        }

        /** A key of theirs that is parked may go to a runner that did not park it. */
        private void awaitKnowing() throws SQLException {
            long known = System.nanoTime() + Growth.RUNNERS_KNOW.toNanos();
            await(
                    known + Growth.RUNNERS_KNOW.toNanos(),
                    () -> System.nanoTime() - known < 0 ? new TreeSet<>(groups) : new TreeSet<>(),
                    "interrupted before runners of these groups knew what is parked: %s");
        }

        /** Takes the mark away. If the database does not let it, that is what the caller must know: the topic waits. */
        private void giveUp(RecordedPartitions marked, Exception why) throws SQLException {
            try {
                if (admin.inTransaction(connection -> replace(connection, marked, marked.count()))) {
                    LOG.info(
                            "Topic {} of cluster {} goes on with {} partitions",
                            physical,
                            kafka.name(),
                            marked.count());
                }
            } catch (SQLException e) {
                if (why instanceof SQLException) {
                    why.addSuppressed(e);
                } else {
                    e.addSuppressed(why);
                    throw e;
                }
            }
        }

        /** The record with its mark, put there now or left by somebody who did not come to the end; empty if there is nothing to adopt. */
        private Optional<RecordedPartitions> mark(Connection connection, int now) throws SQLException {
            String standing = store.meta(connection, prefix(kafka) + physical);
            if (standing == null) {
                throw refused(
                        "nothing is recorded for it in this outbox's eventbus_meta. Name and topic prefix of the cluster must be the relay's, and the outbox its outbox; if they are, no event of the topic has been sent yet, and its first one will use all partitions it has then");
            }
            RecordedPartitions before = read(prefix(kafka) + physical, standing, this::refused);
            if (before.isMarked()) {
                return Optional.of(before);
            }
            if (before.count() > now) {
                throw refused("it has %d partitions, fewer than the %d in use; give it %d again"
                        .formatted(now, before.count(), before.count()));
            }
            if (before.count() == now) {
                return Optional.empty();
            }
            RecordedPartitions marked = new RecordedPartitions(
                    before.count(), now, UUID.randomUUID().toString().substring(0, 8));
            if (!store.replaceMeta(connection, prefix(kafka) + physical, standing, marked.toString())) {
                throw refused("somebody else has begun to adopt its partitions at this moment; call this again");
            }
            LOG.info(
                    "Topic {} of cluster {} is going from {} to {} partitions; its events wait meanwhile",
                    physical,
                    kafka.name(),
                    before.count(),
                    now);
            return Optional.of(marked);
        }

        private SortedSet<String> unsettled(RecordedPartitions marked) throws SQLException {
            return admin.inTransaction(connection -> {
                SortedSet<String> missing = new TreeSet<>(admin.relays(connection));
                String settled = SETTLED + marked.token() + ".";
                store.metas(connection, settled)
                        .keySet()
                        .forEach(name -> missing.remove(name.substring(settled.length())));
                return missing;
            });
        }

        private boolean replace(Connection connection, RecordedPartitions marked, int count) throws SQLException {
            boolean replaced =
                    store.replaceMeta(connection, prefix(kafka) + physical, marked.toString(), String.valueOf(count));
            store.deleteMetas(connection, SETTLED + marked.token() + ".");
            return replaced;
        }

        private void await(long deadline, Awaited awaited, String problem) throws SQLException {
            for (SortedSet<String> missing = awaited.missing(); !missing.isEmpty(); missing = awaited.missing()) {
                if (System.nanoTime() - deadline >= 0 || Thread.currentThread().isInterrupted()) {
                    throw refused(problem.formatted(missing)
                            + ". The topic goes on as before; call this again when they have, or with more time");
                }
                RunLoop.await(LOOK_EVERY, () -> false);
            }
        }

        private StartRefusedException refused(String why) {
            return StartRefusedException.of(
                    ErrorCode.ADOPTION_ENDED,
                    "Adoption of the partitions of topic %s of cluster '%s'".formatted(physical, kafka.name()),
                    List.of(why));
        }
    }
}
