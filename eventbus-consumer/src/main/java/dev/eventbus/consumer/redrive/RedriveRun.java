package dev.eventbus.consumer.redrive;

import dev.eventbus.KafkaAccessException;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.HandedStore.Handed;
import dev.eventbus.consumer.redrive.KeyStore.Going;
import dev.eventbus.consumer.redrive.PlannedKeys.OfKey;
import dev.eventbus.consumer.redrive.Redrive.Source;
import dev.eventbus.consumer.redrive.RedriveStore.Admission;
import dev.eventbus.consumer.redrive.RedriveStore.Answer;
import dev.eventbus.internal.RunLoop;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.errors.InterruptException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Carries one plan out, once. One thread. */
final class RedriveRun {

    private static final Logger LOG = LoggerFactory.getLogger(RedriveRun.class);

    private static final Duration LOOKS = Duration.ofSeconds(1);

    /** How often it is looked while nobody knows whether the cause is mended. */
    private static final Duration LOOKS_FIRST = Duration.ofMillis(100);

    /** How long a run waits for the first sign of its group, if it waits at all: it may not be there. */
    private static final Duration LONGEST_SILENCE = Duration.ofSeconds(5);

    /** What a pause has cost is made up for by so much and no more, so that none ends in a burst. */
    private static final Duration MADE_UP = Duration.ofMillis(5);

    private final Source source;
    private final RedrivePlan.Asked asked;
    private final PlannedKeys keys;

    /** Letters that were put back before, so that of their copies none is taken for another letter's. */
    private final List<Found> back;

    private final RedriveAudit audit;
    private final @Nullable RedriveStore store;
    private final @Nullable HandedStore fate;

    private final Tally tally = new Tally();
    private final Set<Handed> underWay = new LinkedHashSet<>();

    /** Of these, what only follows others of its key and is not tried if they fail. */
    private final Set<Handed> followers = new HashSet<>();

    private int sendsFailed;
    private long looked = System.nanoTime();

    /** When the next event may be handed over, by {@link System#nanoTime}. */
    private long due = looked;

    /** How long it is waited for the next sign of the group; zero once that was in vain, until one comes. */
    private Duration trial;

    /** Whether the group has begun with what it was given: from then on it is waited for, however long its handlers take. */
    private boolean begun;

    /** When the letters' events had failed first, by id. */
    private final Map<String, Instant> firstFailed = new HashMap<>();

    RedriveRun(Source source, RedrivePlan.Asked asked, List<Found> letters, PlannedKeys keys) {
        this.source = source;
        this.asked = asked;
        this.keys = keys;
        this.back = letters.stream()
                .filter(found -> found.standing() == Standing.ALREADY_APPLIED)
                .map(found -> found.as(Standing.READY))
                .toList();
        this.audit = new RedriveAudit(source, asked);
        this.store = source.inbox() == null ? null : new RedriveStore(source.inbox(), source.group());
        this.fate = source.inbox() == null ? null : new HandedStore(source.inbox(), source.group());
        Duration waits = asked.pace().waits();
        this.trial = waits.compareTo(LONGEST_SILENCE) < 0 ? waits : LONGEST_SILENCE;
        letters.stream()
                .filter(found -> found.isReady() || found.standing() == Standing.UNDER_WAY)
                .forEach(found -> firstFailed.put(found.mark().eventId(), found.firstFailedAt()));
    }

    RedriveResult redrive(Map<Standing, Long> standings, String note) {
        audit.begin("redrive", note, keys.events());
        try {
            tally.leaveAlone(standings);
            redrive();
        } catch (InterruptException e) { // while Kafka was read, or let go
            tally.stopped = "interrupted";
        } catch (RuntimeException e) {
            audit.failed(tally, keys.events(), e);
            throw e;
        }
        String ended = underWay.isEmpty() ? "DONE" : "HANDED_OVER";
        return audit.end(tally, keys.events(), tally.stopped == null ? ended : "STOPPED");
    }

    private void redrive() {
        if (store == null) {
            ontoTopics();
            return;
        }
        intoInbox(store);
        if (tally.stopped == null) {
            RunLoop.await(asked.pace().waits(), () -> {
                look(false);
                return underWay.isEmpty();
            });
        }
        look(true);
    }

    // ---- with an inbox

    /** Kafka is asked only if there are letters. */
    private void intoInbox(RedriveStore inbox) {
        List<Found> letters = keys.letters();
        if (letters.isEmpty()) {
            keys.all().forEach(key -> intoInbox(inbox, null, key));
            return;
        }
        try (TopicReader reader = new TopicReader(source.kafka(), source.group())) {
            LetterWindow bytes = new LetterWindow(source, reader, letters);
            keys.all().forEach(key -> intoInbox(inbox, bytes, key));
        }
    }

    private void intoInbox(RedriveStore inbox, @Nullable LetterWindow bytes, OfKey key) {
        if (!mayGoOn()) {
            return;
        }
        ParkedKey parked = key.parked;
        boolean wholeKey =
                parked != null && inbox.keys().eventIds(parked).stream().anyMatch(key.waiting.ids()::contains);
        Standing held = null; // how those behind it in its key are told, which may not come first
        List<Handed> admitted = new ArrayList<>();
        for (Found found : key.ready) {
            if (!mayGoOn()) {
                break;
            }
            ConsumerRecord<byte[], byte[]> letter = bytes == null ? null : bytes.get(found);
            Standing standing = letter == null ? Standing.GONE : held;
            if (standing == null) {
                standing = admit(inbox, found, Objects.requireNonNull(letter), wholeKey);
                held = RedriveStore.holdsUp(standing);
            }
            if (letter == null || standing != Standing.READY) {
                tally.leaveAlone(standing, 1);
                continue;
            }
            Handed event = new Handed(
                    found.origin().topic(), letter.key(), found.mark().eventId());
            if (wholeKey) {
                admitted.add(event);
            } else {
                handOver(event);
            }
        }
        if (parked != null) {
            Standing as = !wholeKey ? Standing.ALREADY_APPLIED : held != null ? Standing.HELD : Standing.READY;
            setGoing(inbox, parked, key.waiting.ids(), admitted, as);
        }
    }

    private void handOver(Handed event) {
        tally.handedOver++;
        underWay.add(event);
        tally.waiting = underWay.size();
        paced();
    }

    /**
     * Sets a parked key going, its letters and all behind them, once every letter stands in its place: before that, what is parked would
     * come before a letter that is still to be put in. If one cannot be, the key stays parked, in order, and {@code as} says why.
     */
    private void setGoing(
            RedriveStore inbox, ParkedKey parked, Set<String> planned, List<Handed> admitted, Standing as) {
        if (!mayGoOn()) {
            tally.leaveAlone(Standing.PARKED, admitted.size());
            return;
        }
        Going going = as == Standing.READY
                ? inbox.keys().redrive(parked, planned, asked.pace().mostRedrives())
                : new Going(as, List.of());
        if (going.standing() != Standing.READY) {
            tally.leaveAlone(going.standing(), planned.size());
            tally.leaveAlone(Standing.PARKED, admitted.size());
            return;
        }
        tally.leaveAlone(
                Standing.ALREADY_APPLIED, planned.size() - going.events().size());
        List<Handed> all = new ArrayList<>(admitted);
        going.events().forEach(event -> all.add(new Handed(parked.topic(), parked.key(), event)));
        all.forEach(this::handOver);
        followers.addAll(all.subList(1, all.size()));
    }

    /** What others have in hand is tried again for a second; what the run itself has set going before it in its key, as long as it waits. */
    private Standing admit(RedriveStore inbox, Found found, ConsumerRecord<byte[], byte[]> letter, boolean wholeKey) {
        Admission how = new Admission(wholeKey, asked.pace().mostRedrives(), there -> isBehind(there, found));
        Answer[] answer = {new Answer(Standing.HELD, null)};
        long[] asks = {System.nanoTime()};
        long[] ofOthers = {asks[0] + KeyStore.HELD_FOR.toNanos()};
        RunLoop.await(asked.pace().waits().plus(KeyStore.HELD_FOR), KeyStore.LOOKS_AGAIN, () -> {
            look(false);
            long at = System.nanoTime();
            if (at - asks[0] < 0) {
                return false;
            }
            answer[0] = inbox.admit(found, letter, how);
            PlannedKeys.Id key = PlannedKeys.Id.of(found);
            boolean ours = underWay.stream().map(PlannedKeys.Id::of).anyMatch(key::equals) && !hasFailedTooOften();
            ofOthers[0] = ours ? at + KeyStore.HELD_FOR.toNanos() : ofOthers[0];
            Standing now = answer[0].standing(); // PARKED may be no more than that the letter of one before it is sent
            asks[0] = now == Standing.PARKED ? at + LOOKS_FIRST.toNanos() : at; // its runner needs the key for that
            return now == Standing.HELD ? !ours && at - ofOthers[0] >= 0 : now != Standing.PARKED || !ours;
        });
        if (answer[0].refusal() != null) {
            tally.refuses(audit.id(), found, answer[0].refusal(), asked.pace().stopsAfter());
        }
        return answer[0].standing();
    }

    private boolean isBehind(ParkedEvent there, Found letter) {
        Instant failed = firstFailed.get(there.eventId());
        return LetterOrder.isBehind(
                there, failed == null ? source.kafka().clock().instant() : failed, letter);
    }

    /** Looks how those fare that were handed over, now and then. */
    private void look(boolean now) {
        boolean isDue = now || System.nanoTime() - looked >= LOOKS.toNanos();
        if (!isDue || underWay.isEmpty() || Thread.currentThread().isInterrupted()) {
            return; // a pool gives no connection to a thread that is interrupted
        }
        Objects.requireNonNull(fate).ended(underWay).forEach((event, came) -> {
            hear();
            underWay.remove(event);
            followers.remove(event);
            switch (came) {
                case APPLIED -> tally.applied++;
                case FAILED -> tally.failed++;
                case BEHIND -> tally.takeBack(Standing.PARKED);
                case GIVEN_UP -> tally.takeBack(Standing.DISCARDED);
            }
        });
        tally.waiting = underWay.size();
        looked = System.nanoTime();
    }

    private boolean mayGoOn() {
        look(false);
        tryFirst();
        boolean paced = tally.stopped == null && !hasFailedTooOften() && isPaced();
        if (tally.stopped == null && hasFailedTooOften()) {
            tally.stopped = "%d events have failed again".formatted(tally.failed);
        }
        return paced && tally.stopped == null;
    }

    private boolean hasFailedTooOften() {
        return tally.failed >= asked.pace().stopsAfter();
    }

    /**
     * As long as fewer have had their effect than may fail, no more are at stake at a time: a cause that nobody has mended costs these and
     * not the whole plan. A group that does not answer is waited for once.
     */
    private void tryFirst() {
        while (!trial.isZero() && isAtStake() && !hasFailedTooOften()) {
            int before = underWay.size();
            boolean heard = RunLoop.await(trial, LOOKS_FIRST, () -> {
                look(true);
                return underWay.size() < before || isFirstSign();
            });
            trial = heard ? trial : Duration.ZERO;
        }
    }

    private boolean isFirstSign() {
        if (begun || Thread.currentThread().isInterrupted()) {
            return false;
        }
        List<Handed> tried =
                underWay.stream().filter(event -> !followers.contains(event)).toList();
        if (Objects.requireNonNull(fate).isBegun(tried)) {
            hear();
        }
        return begun;
    }

    /** The group is there: the next sign may take as long as the run waits. */
    private void hear() {
        begun = true;
        trial = asked.pace().waits();
    }

    private boolean isAtStake() {
        int most = asked.pace().stopsAfter();
        return tally.applied < most && underWay.size() - followers.size() + tally.failed >= most;
    }

    /** Waits until one more may be handed over; false if the thread was interrupted. */
    private boolean isPaced() {
        RunLoop.await(Duration.ofNanos(Math.max(0, due - System.nanoTime())), () -> {
            look(false); // a large key is paced for long, and may fail meanwhile
            return Thread.currentThread().isInterrupted() || hasFailedTooOften();
        });
        if (Thread.currentThread().isInterrupted()) {
            tally.stopped = "interrupted";
        }
        return tally.stopped == null;
    }

    /** One more is handed over: the next one has its time. */
    private void paced() {
        long now = System.nanoTime();
        due = now
                + Math.max(due - now, -MADE_UP.toNanos())
                + 1_000_000_000L / asked.pace().perSecond();
    }

    // ---- without

    private void ontoTopics() {
        if (keys.letters().isEmpty()) {
            return;
        }
        try (TopicReader reader = new TopicReader(source.kafka(), source.group())) {
            OntoTopics topics = new OntoTopics(source, reader);
            List<Found> all =
                    Stream.concat(back.stream(), keys.letters().stream()).toList();
            List<Found> planned = topics.standings(all).subList(back.size(), all.size());
            putBack(topics, planned, new LetterWindow(source, reader, keys.letters()));
        }
    }

    private void putBack(OntoTopics topics, List<Found> all, LetterWindow bytes) {
        try (Producer<byte[], byte[]> producer = topics.producer()) {
            String failing = ""; // the key whose later letters must not overtake one that did not arrive
            for (Found found : all) {
                String hash = found.letter().keyHash();
                String key = hash == null ? "" : found.origin().topic() + hash; // without a key there is no order
                ConsumerRecord<byte[], byte[]> letter = found.isReady() ? bytes.get(found) : null;
                if (!found.isReady() || letter == null) {
                    tally.leaveAlone(found.isReady() ? Standing.GONE : found.standing(), 1);
                } else if (!key.isEmpty() && key.equals(failing)) {
                    tally.leaveAlone(Standing.HELD, 1);
                } else if (!isPaced()) {
                    return;
                } else if (!send(topics, producer, found, letter)) {
                    failing = key;
                    if (tally.stopped != null) {
                        return;
                    }
                }
            }
        }
    }

    private boolean send(
            OntoTopics topics, Producer<byte[], byte[]> producer, Found found, ConsumerRecord<byte[], byte[]> letter) {
        paced();
        try {
            topics.send(producer, found, letter);
            tally.handedOver++;
            return true;
        } catch (KafkaAccessException e) {
            if (OntoTopics.isRefused(e)) {
                tally.failed++;
            } else {
                tally.unknown++;
            }
            if (++sendsFailed >= asked.pace().stopsAfter()) {
                tally.stopped = e.getMessage();
            } else {
                LOG.warn(
                        "redrive {} could not put back the letter of {}: {}",
                        audit.id(),
                        found.origin(),
                        e.getMessage());
            }
            return false;
        }
    }
}
