package dev.eventbus.consumer.redrive;

import dev.eventbus.KafkaAccessException;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.PlannedKeys.OfKey;
import dev.eventbus.consumer.redrive.Redrive.Source;
import dev.eventbus.consumer.redrive.RedriveStore.Handed;
import dev.eventbus.internal.Checks;
import dev.eventbus.internal.RunLoop;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
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

    private final Source source;
    private final RedrivePlan.Asked asked;
    private final PlannedKeys keys;
    private final String note;
    private final String id = UUID.randomUUID().toString();
    private final @Nullable RedriveStore store;

    private final Map<Standing, Long> leftAlone = new TreeMap<>();
    private final List<Handed> underWay = new ArrayList<>();
    private long handedOver;
    private long applied;
    private long failed;
    private long discarded;
    private int sendsFailed;
    private @Nullable String stopped;

    private final long began = System.nanoTime();
    private long looked = began;

    RedriveRun(Source source, RedrivePlan.Asked asked, PlannedKeys keys, String note) {
        this.source = source;
        this.asked = asked;
        this.keys = keys;
        this.note = note;
        this.store = source.inbox() == null ? null : new RedriveStore(source.inbox(), source.group());
    }

    RedriveResult redrive(Map<Standing, Long> standings) {
        begin("redrive");
        leaveAlone(standings);
        try {
            if (store == null) {
                ontoTopics();
            } else {
                intoInbox(store);
                if (stopped == null) {
                    RunLoop.await(asked.pace().waits(), () -> {
                        look(store, false);
                        return underWay.isEmpty();
                    });
                    look(store, true);
                }
            }
        } catch (InterruptException e) { // while Kafka was read, or let go
            stopped = "interrupted";
        } catch (RuntimeException e) {
            stopped = e.getClass().getSimpleName();
            end("STOPPED");
            throw e;
        }
        return end(stopped == null ? "DONE" : "STOPPED");
    }

    RedriveResult discard(Map<Standing, Long> standings) {
        begin("discard");
        leaveAlone(standings);
        RedriveStore inbox = Objects.requireNonNull(store);
        for (OfKey key : keys.all()) {
            for (Found found : key.ready) {
                Standing standing = inbox.discard(found);
                if (standing == Standing.READY) {
                    discarded++;
                } else {
                    leaveAlone(standing, 1);
                }
            }
            if (key.parked != null) {
                discardParked(inbox, key.parked, key.parkedIds);
            }
        }
        return end("DONE");
    }

    /** Those that were planned and no others; what has been parked since stays. */
    private void discardParked(RedriveStore inbox, ParkedKey parked, Set<String> planned) {
        long gone = inbox.discard(parked, planned);
        List<String> left = inbox.eventIds(parked);
        long held = left.stream().filter(planned::contains).count();
        discarded += gone;
        leaveAlone(Standing.HELD, held);
        leaveAlone(Standing.ALREADY_APPLIED, planned.size() - gone - held);
        leaveAlone(Standing.PARKED, left.size() - held);
    }

    private void leaveAlone(Map<Standing, Long> standings) {
        standings.forEach((standing, events) -> {
            if (standing != Standing.READY) {
                leaveAlone(standing, events);
            }
        });
    }

    private void leaveAlone(Standing standing, long events) {
        if (events > 0) {
            leftAlone.merge(standing, events, Long::sum);
        }
    }

    // ---- with an inbox

    /** Kafka is asked only if there are letters. */
    private void intoInbox(RedriveStore inbox) {
        List<Found> letters = keys.letters();
        if (letters.isEmpty()) {
            intoInbox(inbox, null);
            return;
        }
        try (TopicReader reader = new TopicReader(source.kafka(), source.group())) {
            intoInbox(inbox, new LetterWindow(source, reader, letters));
        }
    }

    private void intoInbox(RedriveStore inbox, @Nullable LetterWindow bytes) {
        for (OfKey key : keys.all()) {
            if (!mayGoOn(inbox)) {
                return;
            }
            ParkedKey parked = key.parked;
            List<String> ids = parked == null ? List.of() : plannedAndThere(inbox, parked, key.parkedIds);
            boolean held = false; // then nothing behind it in its key may come first
            for (Found found : key.ready) {
                ConsumerRecord<byte[], byte[]> letter = bytes == null ? null : bytes.get(found);
                Standing standing = letter == null ? Standing.GONE : Standing.HELD;
                if (letter != null && !held) {
                    standing = admit(inbox, found, letter, !ids.isEmpty());
                    held = standing == Standing.HELD;
                }
                if (letter != null && standing == Standing.READY) {
                    handedOver++;
                    underWay.add(new Handed(
                            found.origin().topic(), letter.key(), found.mark().eventId()));
                } else {
                    leaveAlone(standing, 1);
                }
            }
            if (parked != null) {
                Standing standing = ids.isEmpty() ? Standing.ALREADY_APPLIED : inbox.redrive(parked);
                if (standing != Standing.READY) {
                    leaveAlone(standing, key.parkedIds.size());
                } else {
                    leaveAlone(Standing.ALREADY_APPLIED, key.parkedIds.size() - ids.size());
                    handedOver += ids.size();
                    ids.forEach(event -> underWay.add(new Handed(parked.topic(), parked.key(), event)));
                }
            }
        }
    }

    /** The planned events of a key that are still parked; none if it has been parked anew since, for reasons that nobody looked at. */
    private static List<String> plannedAndThere(RedriveStore inbox, ParkedKey parked, Set<String> planned) {
        return inbox.eventIds(parked).stream().filter(planned::contains).toList();
    }

    private static Standing admit(
            RedriveStore inbox, Found found, ConsumerRecord<byte[], byte[]> letter, boolean wholeKey) {
        Standing[] standing = {Standing.HELD};
        RunLoop.await(LOOKS, () -> {
            standing[0] = inbox.admit(found, letter, wholeKey);
            return standing[0] != Standing.HELD;
        });
        return standing[0];
    }

    /** Looks how those fare that were handed over, now and then. */
    private void look(RedriveStore inbox, boolean now) {
        if (!now && System.nanoTime() - looked < LOOKS.toNanos()) {
            return;
        }
        inbox.ended(underWay).forEach((event, succeeded) -> {
            underWay.remove(event);
            applied += succeeded ? 1 : 0;
            failed += succeeded ? 0 : 1;
        });
        looked = System.nanoTime();
    }

    private boolean mayGoOn(RedriveStore inbox) {
        look(inbox, false);
        if (failed >= asked.pace().stopsAfter()) {
            stopped = "%d events have failed again".formatted(failed);
        }
        return stopped == null && isPaced();
    }

    /** Waits until one more may be handed over; false if the thread was interrupted. */
    private boolean isPaced() {
        long due = Math.max(0, handedOver - asked.pace().perSecond())
                * 1_000_000_000L
                / asked.pace().perSecond();
        RunLoop.await(
                Duration.ofNanos(Math.max(0, began + due - System.nanoTime())),
                () -> Thread.currentThread().isInterrupted());
        if (Thread.currentThread().isInterrupted()) {
            stopped = "interrupted";
        }
        return stopped == null;
    }

    // ---- without

    private void ontoTopics() {
        if (keys.letters().isEmpty()) {
            return;
        }
        try (TopicReader reader = new TopicReader(source.kafka(), source.group())) {
            OntoTopics topics = new OntoTopics(source, reader);
            putBack(topics, topics.standings(keys.letters()), new LetterWindow(source, reader, keys.letters()));
        }
    }

    private void putBack(OntoTopics topics, List<Found> all, LetterWindow bytes) {
        try (Producer<byte[], byte[]> producer = topics.producer()) {
            String failing = null; // the key whose later letters must not overtake one that did not arrive
            for (Found found : all) {
                String key = found.origin().topic() + found.letter().keyHash();
                ConsumerRecord<byte[], byte[]> letter = found.isReady() ? bytes.get(found) : null;
                if (!found.isReady() || letter == null) {
                    leaveAlone(found.isReady() ? Standing.GONE : found.standing(), 1);
                } else if (key.equals(failing)) {
                    leaveAlone(Standing.HELD, 1);
                } else if (!isPaced()) {
                    return;
                } else if (!send(topics, producer, found, letter)) {
                    failing = key;
                    if (stopped != null) {
                        return;
                    }
                }
            }
        }
    }

    private boolean send(
            OntoTopics topics, Producer<byte[], byte[]> producer, Found found, ConsumerRecord<byte[], byte[]> letter) {
        try {
            topics.send(producer, found, letter);
            handedOver++;
            return true;
        } catch (KafkaAccessException e) {
            failed++;
            if (++sendsFailed >= asked.pace().stopsAfter()) {
                stopped = e.getMessage();
            } else {
                LOG.warn("redrive {} could not put back the letter of {}: {}", id, found.origin(), e.getMessage());
            }
            return false;
        }
    }

    // ---- audit

    private void begin(String what) {
        LOG.info(
                "{} {} of group {} begins, {} events planned ({}), asked for by {}: {}",
                what,
                id,
                source.group(),
                keys.events(),
                asked.selection(),
                Checks.printable(asked.pace().requestedBy()),
                Checks.printable(note));
        if (store != null) {
            store.begin(id, asked, note, keys.events(), source.kafka().clock().instant());
        }
    }

    private RedriveResult end(String state) {
        RedriveResult result = new RedriveResult(
                id, keys.events(), handedOver, applied, failed, discarded, leftAlone, Optional.ofNullable(stopped));
        LOG.info("{} {}: {}", id, state, result);
        boolean interrupted = Thread.interrupted(); // what has come about is noted all the same
        try {
            if (store != null) {
                store.note(result, failed, state);
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
        return result;
    }
}
