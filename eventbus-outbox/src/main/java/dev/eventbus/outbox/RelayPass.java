package dev.eventbus.outbox;

import dev.eventbus.StartRefusedException;
import dev.eventbus.internal.RunLoop;
import dev.eventbus.outbox.KafkaSink.SendFault;
import dev.eventbus.outbox.internal.ClusterWatch;
import dev.eventbus.outbox.internal.DeleteAside;
import dev.eventbus.outbox.internal.Outage;
import dev.eventbus.outbox.internal.RoundWatch;
import dev.eventbus.outbox.internal.TopicLookup;
import dev.eventbus.outbox.sql.DatabaseFault;
import dev.eventbus.outbox.sql.LeaseStore;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.RelayConnection;
import dev.eventbus.outbox.sql.Shards;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.KafkaFaults;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One round of the relay: settle what Kafka has said, keep the leases, delete what it has, read what is next, hand it over. What
 * cannot be done now is tried again in a later round; a round never waits. One thread only, except {@link #health()}.
 */
final class RelayPass {

    private static final Logger LOG = LoggerFactory.getLogger(RelayPass.class);

    /** How long a call that wants results waits for the acks of a round. */
    private static final Duration ACK_PATIENCE = Duration.ofSeconds(5);

    /** How long it waits for the first metadata of a new sink. */
    private static final Duration METADATA_PATIENCE = Duration.ofSeconds(2);

    private static final Duration REST_WITHOUT_DATABASE = Duration.ofMillis(100);

    private final KafkaCluster kafka;
    private final RelayConnection connection;
    private final ShardLeases leases;
    private final KafkaSink sink;
    private final InFlight inFlight;
    private final TopicBreakers breakers;
    private final TopicPartitions partitions;
    private final EventSender sender;
    private final OutboxFeed feed;
    private final RelayPace pace;
    private final Outage database;
    private final Outage cluster;
    private final ClusterWatch watch;
    private final RoundWatch rounds;
    private boolean more;
    private boolean coldAwaited;
    private @Nullable StartRefusedException refusal;

    /** Written at the end of each round. */
    private volatile RelayHealth health = RelayHealth.notLookedYet();

    RelayPass(
            JdbcOutbox outbox,
            DataSource dataSource,
            KafkaCluster kafka,
            OutboxRelay.Settings settings,
            OutboxRelay.Signals signals) {
        OutboxStore store = outbox.store();
        RelayEvents events = new RelayEvents(settings.listener());
        this.kafka = kafka;
        this.rounds = new RoundWatch(settings.lease(), System::nanoTime);
        this.connection = new RelayConnection(dataSource, store.sql(), settings.lease(), rounds::comesBy);
        this.leases = new ShardLeases(
                new LeaseStore(store.sql(), settings.owner(), settings.lease()), settings.lease(), System::nanoTime);
        this.inFlight = new InFlight(settings.mode(), System::nanoTime);
        this.pace = new RelayPace(inFlight, signals.wake(), System::nanoTime);
        this.sink = settings.mode() == SendMode.STRICT
                ? new ShardTransactions(kafka, store, outbox.maxEventBytes(), settings.lease(), pace::outcome)
                : new FailStopProducer(kafka, outbox.maxEventBytes(), pace::outcome, signals.flush());
        this.breakers = new TopicBreakers(kafka.clock());
        this.watch = new ClusterWatch(kafka, System::nanoTime);
        this.partitions = new TopicPartitions(store, kafka, sink, inFlight, new TopicLookup(watch::find));
        this.sender = new EventSender(kafka, sink, inFlight, breakers, events);
        this.feed = new OutboxFeed(
                store,
                new OutboxFeed.Parts(leases, sink, sender, inFlight, breakers, partitions),
                new BlockedKeys(store, leases, settings.maxRelayStop(), events),
                new DeleteAside(store, new RelayConnection(dataSource, store.sql(), settings.lease()), signals.wake()),
                events);
        this.database = new Outage(kafka.clock());
        this.cluster = new Outage(kafka.clock());
    }

    RelayPace pace() {
        return pace;
    }

    /** A round of the relay's own thread. Returns how long to rest. */
    Duration run() {
        rounds.loops();
        feed.deletes().mayWorkAside();
        round(!hasMore() && pace.due());
        return database.mustWait() ? REST_WITHOUT_DATABASE : pace.rest(hasMore());
    }

    /** A thread of its own, which may wait: what was handed over leaves at once. */
    void hurry() {
        sink.hurry();
    }

    /** Whether rows are known to be left that can be read now. */
    private boolean hasMore() {
        return more && feed.canReadOn();
    }

    /**
     * A round that waits, within limits, for the acks of what it has sent.
     *
     * @return how many events Kafka has acknowledged and were deleted
     */
    int runToEnd() {
        leases.checkSoon(); // there is no telling when the next call comes
        int relayed = roundOfAll();
        if (awaitPreparation()) {
            relayed += roundOfAll();
        }
        if (awaitColdTopics()) {
            relayed += roundOfAll();
        }
        awaitAcks(ACK_PATIENCE);
        relayed += round(false);
        for (int again = 0; again < SendFault.EVENT.tries() && sender.hasUnsettled(); again++) {
            relayed += roundOfAll();
            awaitAcks(ACK_PATIENCE);
            relayed += round(false);
        }
        if (refusal != null) {
            throw refusal;
        }
        return relayed;
    }

    /** A round that looks, and further ones while it left shards or large events to them. */
    private int roundOfAll() {
        int relayed = round(true);
        for (int i = 1; i < Shards.COUNT && hasMore() && feed.leavesSome(); i++) {
            relayed += round(true);
        }
        return relayed;
    }

    /** A round that looks, whatever the time. */
    int look() {
        return round(true);
    }

    private int round(boolean look) {
        try {
            return tryRound(look);
        } catch (RuntimeException | Error e) {
            startOver(e);
            throw e;
        }
    }

    /** After a bug: what was under way is forgotten, as by a crash, so that the next round does not find it half done. */
    private void startOver(Throwable bug) {
        health = health.afterBug(bug);
        inFlight.clear();
        sender.abandon();
        connection.close();
        feed.connectionLost(true);
        more = false;
    }

    private int tryRound(boolean look) {
        pace.settles();
        feed.giveUpIfOverdue();
        sender.settle();
        feed.giveUpIfOverdue();
        int relayed = database.mustWait() ? 0 : withDatabase(look);
        send();
        if (sender.takeAcked()) {
            watch.heard();
        }
        watch.look(!inFlight.anyHandedOver());
        health = healthNow();
        return relayed;
    }

    private int withDatabase(boolean look) {
        try {
            Connection open = connection.get();
            long began = rounds.comesBy();
            boolean gained = feed.keepLeases(open);
            feed.block(open);
            int relayed = feed.deletes().settle();
            boolean readsOn = hasMore() && pace.isTimeToRead(); // after the DELETE company is awaited anew
            if (look || pace.isTimeToDelete()) {
                relayed += feed.deletes().delete(open, hasMore());
                pace.statementEnded();
            }
            rounds.comesBy();
            gained |= feed.keepLeases(open); // if what was to be deleted was gone, somebody else may have them
            feed.handOver(open);
            rounds.comesBy();
            boolean read = look || gained || readsOn || hasMore() && pace.isTimeToRead();
            if (read && !feed.deletes().isAwaited() && leases.areValid() && openProducer()) {
                int before = inFlight.size();
                OutboxFeed.Look found = feed.fetch(open);
                more = found.more();
                pace.statementEnded();
                pace.looked(
                        found.moved(), inFlight.size() > before ? System.nanoTime() - began : 0, found.passedNanos());
            } else if (read) {
                more = false;
                pace.looked(false, 0, 0);
            }
            refusal = null;
            database.succeeded();
            return relayed;
        } catch (SQLException e) {
            connection.drop(e);
            databaseFailed(DatabaseFault.explain(e), DatabaseFault.isConnectionLost(e));
        } catch (StartRefusedException e) {
            refusal = e;
            connection.close();
            databaseFailed(e.getMessage(), false);
        }
        return 0;
    }

    private void databaseFailed(@Nullable String problem, boolean unanswered) {
        feed.connectionLost(unanswered);
        more = false;
        database.failed(String.valueOf(problem));
    }

    private boolean openProducer() {
        if (sink.isOpen()) {
            return true;
        }
        sender.settle(); // it may have stopped in this round: what it held is taken back before there is another
        if (cluster.mustWait()) {
            return false;
        }
        try {
            sink.open();
            breakers.producerOpened();
            coldAwaited = false;
            cluster.succeeded();
            return true;
        } catch (RuntimeException e) {
            cluster.failed(
                    KafkaFaults.explain(kafka, e, "events wait in the outbox").getMessage());
            return false;
        }
    }

    /** Producers that acknowledge within send() let waiting rows go on at once. */
    private void send() {
        boolean moving = true;
        while (moving && leases.areValid()) {
            boolean sent = sender.send();
            moving = sender.settle() || sent;
        }
    }

    /** Waits until the sink is ready for the shards. Returns whether there is something to do that could not be done before. */
    private boolean awaitPreparation() {
        RunLoop.await(METADATA_PATIENCE, () -> {
            sender.settle();
            return !sink.isPreparing();
        });
        return hasMore() && inFlight.size() == 0;
    }

    /** Once per producer: waits until it knows the topics that it was asked for. Returns whether there is something to do now. */
    private boolean awaitColdTopics() {
        Set<String> cold = breakers.untold();
        if (cold.isEmpty() || coldAwaited || !sink.isOpen()) {
            return false;
        }
        coldAwaited = true;
        boolean known = RunLoop.await(METADATA_PATIENCE, () -> cold.stream().allMatch(partitions::isKnown));
        if (known) {
            cold.forEach(breakers::tryNow); // what they waited for is there, perhaps before their back-off is over
        }
        return known;
    }

    private void awaitAcks(Duration limit) {
        long deadline = System.nanoTime() + limit.toNanos();
        while (inFlight.anyHandedOver()) {
            Duration left = Duration.ofNanos(deadline - System.nanoTime());
            if (left.isNegative() || !RunLoop.await(left, this::mayGoOn)) {
                return;
            }
            sender.settle();
            send();
        }
    }

    /** Whoever waits for acks holds its leases no longer than they last: others send these events then. */
    private boolean mayGoOn() {
        feed.giveUpIfOverdue();
        return sink.hasOutcome() || !inFlight.anyHandedOver();
    }

    /** Ends: no more is read or sent; what is on its way is awaited and deleted; everything opened is closed. */
    void end(Duration limit) {
        long deadline = System.nanoTime() + limit.toNanos();
        try {
            sender.takeBackWaiting();
            RunLoop.await(limit.dividedBy(2), () -> {
                feed.giveUpIfOverdue();
                sender.settle();
                return !inFlight.anyHandedOver();
            });
            feed.giveUpIfOverdue();
            sink.close(inFlight.anyHandedOver() ? Duration.ZERO : until(deadline));
            if (connection.isOpen()) {
                Connection open = connection.get();
                feed.block(open);
                if (feed.deletes().end(open, until(deadline).dividedBy(2))) {
                    leases.leave(open);
                }
            }
        } catch (SQLException e) {
            connection.drop(e);
            LOG.warn("{} Leases not given back run out by themselves.", DatabaseFault.explain(e));
        } finally {
            connection.close();
            watch.close();
            feed.deletes().close(until(deadline));
            feed.ended();
        }
        LOG.info(
                "Relay {} has ended; {} events were on their way without an answer and {} acknowledged ones were not, or perhaps not, deleted; what is still there is sent again.",
                leases.owner(),
                inFlight.size() - inFlight.notYetDeleted().count(),
                inFlight.notYetDeleted().count());
    }

    private static Duration until(long deadline) {
        return Duration.ofNanos(Math.max(0, deadline - System.nanoTime()));
    }

    RelayHealth health() {
        Optional<Duration> opening = connection.openingFor();
        return opening.isPresent()
                ? health.askingFor(opening.get(), connection.lease())
                : rounds.heldFor().map(health::heldFor).orElse(health);
    }

    private RelayHealth healthNow() {
        boolean sends = !leases.owned().isEmpty(); // if not, what was found before is others' business
        Optional<String> unreached = sends ? cluster.problem() : Optional.empty();
        List<String> problems = new ArrayList<>();
        database.problem().ifPresent(problems::add);
        unreached.ifPresent(problems::add);
        List<String> silences = sender.silences();
        problems.addAll(silences);
        problems.addAll(sink.problems());
        problems.addAll(breakers.problems());
        problems.addAll(partitions.problems());
        problems.addAll(leases.problems());
        problems.addAll(feed.problems(sends));
        Optional<Instant> unreachedRetry = sends ? cluster.nextRetry() : Optional.empty();
        boolean reached = unreached.isEmpty()
                && silences.isEmpty()
                && sink.problems().isEmpty()
                && breakers.waiting().isEmpty();
        if (reached) { // else it is said already, with what waits
            watch.problem().ifPresent(problems::add);
        }
        boolean up = database.problem().isEmpty()
                && reached
                && watch.problem().isEmpty()
                && !feed.deletes().holdUp()
                && !leases.lackShards();
        return new RelayHealth(
                up,
                false,
                List.copyOf(problems),
                Set.copyOf(leases.owned()),
                inFlight.size(),
                inFlight.oldest(),
                breakers.waiting(),
                sends ? feed.blockedKeys().count() : 0,
                RelayHealth.earliest(List.of(database.nextRetry(), unreachedRetry, breakers.nextRetry())));
    }
}
