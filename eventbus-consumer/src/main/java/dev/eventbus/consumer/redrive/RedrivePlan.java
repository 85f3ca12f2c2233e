package dev.eventbus.consumer.redrive;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.redrive.Redrive.Pace;
import dev.eventbus.consumer.redrive.Redrive.Source;
import dev.eventbus.internal.Checks;
import java.io.IOException;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * What was found, and what would be redriven: these letters by their positions, these parked keys, and nothing that comes later.
 *
 * <p>Immutable. {@link #run}, {@link #discard} and {@link #export} may be called as often as wanted: what is settled by then is left
 * alone and said so, and so is what retention has taken away since. A run that was interrupted is finished by another one.
 */
public final class RedrivePlan {

    private static final int MAX_NOTE = 2_000;

    /** What was asked for. */
    record Asked(Selection selection, Pace pace) {}

    /** What is no part of it. */
    record Aside(long copies, long others, boolean more, long parkedTooOften, Map<Standing, Long> unlisted) {}

    private final Source source;
    private final Asked asked;
    private final List<Found> found;
    private final PlannedKeys keys;
    private final Aside aside;

    RedrivePlan(Source source, Asked asked, List<Found> found, PlannedKeys keys, Aside aside) {
        this.source = source;
        this.asked = asked;
        this.found = List.copyOf(found);
        this.keys = keys;
        this.aside = aside;
    }

    /**
     * The selected letters, one for each event, those that cannot be redriven too, oldest first. Of more than {@value
     * Redrive#MOST_LETTERS} only those that can; the others are counted in {@link #standings}.
     */
    public List<PlannedLetter> letters() {
        return found.stream().map(Found::letter).toList();
    }

    /** The keys of which something would be redriven. */
    public List<PlannedKey> keys() {
        return keys.shown();
    }

    /** How many events would be redriven, parked ones too. */
    public long size() {
        return keys.events();
    }

    /** How many events {@link #discard} would give up: those that would be redriven, and letters that cannot be. */
    public long discardable() {
        return keys.parkedEvents()
                + letters().stream()
                        .filter(letter -> DiscardRun.CAN_BE_GIVEN_UP.contains(letter.standing()))
                        .count();
    }

    /** How many of the selected letters failed for which reason. */
    public Map<FailureReason, Long> reasons() {
        Map<FailureReason, Long> reasons = new TreeMap<>();
        letters().forEach(letter -> reasons.merge(letter.origin().reason(), 1L, Long::sum));
        return reasons;
    }

    /** How many of the selected letters stand how; of parked events only those are counted whose key was redriven too often. */
    public Map<Standing, Long> standings() {
        Map<Standing, Long> standings = new TreeMap<>(aside.unlisted());
        if (aside.parkedTooOften() > 0) {
            standings.merge(Standing.TOO_OFTEN, aside.parkedTooOften(), Long::sum);
        }
        letters().forEach(letter -> standings.merge(letter.standing(), 1L, Long::sum));
        return standings;
    }

    /** When the first of what would be redriven failed or was parked; empty if there is nothing. */
    public Optional<Instant> oldest() {
        return keys.shown().stream().map(PlannedKey::oldest).min(Instant::compareTo);
    }

    /** Letters of events that have a newer one; only that counts. */
    public long copies() {
        return aside.copies();
    }

    /** Records of the dead-letter topic that are no letters of this group. */
    public long others() {
        return aside.others();
    }

    /** Whether there are more letters to redrive than a plan takes, {@value Redrive#MOST_LETTERS}: run this one, then plan again. */
    public boolean hasMore() {
        return aside.more();
    }

    /**
     * Carries the plan out: key by key, each key's events in order, at the pace that was asked for. It ends early if too many fail, or
     * if the thread is interrupted.
     *
     * @param note why, for the audit, 1 to 2,000 characters
     * @throws dev.eventbus.EventBusException if the inbox's database or Kafka does not answer; what was handed over by then stays so
     */
    public RedriveResult run(String note) {
        return new RedriveRun(source, asked, found, keys).redrive(standings(), noted("note", note));
    }

    /**
     * Gives up what was planned, and letters that cannot be redriven, for good: {@link #discardable} events. They count as SKIPPED, whoever
     * meets one skips it. The letters stay in their topic until retention takes them. One that is not to be believed, and one whose id
     * belongs to another event, is known by its place from then on, so that no other event is touched.
     *
     * @param reason why, for the audit, 1 to 2,000 characters
     * @throws IllegalStateException for a group without an inbox: nothing there could remember it
     */
    public RedriveResult discard(String reason) {
        if (source.inbox() == null) {
            throw new IllegalStateException(
                    "Nothing was discarded: group %s has no inbox that could remember it. Its letters stay in their topic until retention takes them; write down elsewhere that nobody needs them"
                            .formatted(source.group()));
        }
        return new DiscardRun(source, asked, found, keys).discard(leftAlone(), noted("reason", reason));
    }

    /**
     * Writes the selected letters, those that cannot be redriven too, and the parked events, with key, value and headers, each as one line of
     * JSON. Nothing else in this library
     * shows what an event holds.
     *
     * @return how many lines were written
     */
    public long export(Appendable out) throws IOException {
        return new LetterExport(source, found, keys).writeTo(out);
    }

    /** What a discard leaves alone. */
    private Map<Standing, Long> leftAlone() {
        Map<Standing, Long> others = standings();
        letters().stream()
                .map(PlannedLetter::standing)
                .filter(DiscardRun.CAN_BE_GIVEN_UP::contains)
                .forEach(standing -> others.merge(standing, -1L, Long::sum));
        return others;
    }

    private static String noted(String name, String text) {
        Checks.inRange("length of " + name, Checks.notBlank(name, text).length(), 1, MAX_NOTE);
        return text;
    }

    /** One line, safe to print. */
    @Override
    public String toString() {
        return "%d events of %d keys of group %s can be redriven, of letters %s"
                .formatted(size(), keys.all().size(), source.group(), standings());
    }
}
