package dev.eventbus.consumer.redrive;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.redrive.Redrive.Pace;
import dev.eventbus.consumer.redrive.Redrive.Source;
import dev.eventbus.internal.Checks;
import java.io.IOException;
import java.time.Instant;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;

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
    record Aside(long copies, long others, boolean more, int unselectedKeys, Map<Standing, Long> unlisted) {}

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

    /** Parked keys that are selected and would not be redriven: UNDER_WAY, WAITING or TOO_OFTEN. */
    public List<PlannedKey> leftOut() {
        return keys.shownLeftOut();
    }

    /** How many other keys of the group are parked, that are not selected. */
    public int unselectedKeys() {
        return aside.unselectedKeys();
    }

    /** How many events would be redriven, parked ones too. */
    public long size() {
        return keys.events();
    }

    /**
     * How many events {@link #discard} would give up: those that would be redriven, letters that cannot be, parked keys that were redriven too
     * often, and if a key or an event was named, also what of it is being handled again. Of a key that is not selected itself, but by one
     * of its letters, and of one that waits for its next try and was not named, only that letter.
     */
    public long discardable() {
        return toGiveUp().size()
                + keys.parkedToGiveUp().values().stream().mapToLong(Set::size).sum();
    }

    private List<Found> toGiveUp() {
        return found.stream().filter(givenUp()).toList();
    }

    /** A letter of a key that is given up as a whole goes with it. */
    private Predicate<Found> givenUp() {
        Set<String> withTheirKeys = withTheirKeys();
        return one -> one.standing() == Standing.UNDER_WAY
                ? asked.selection().names()
                        && !withTheirKeys.contains(one.mark().eventId())
                : DiscardRun.CAN_BE_GIVEN_UP.contains(one.standing());
    }

    /** What is parked and given up with its key. */
    private Set<String> withTheirKeys() {
        Set<String> ids = new HashSet<>();
        keys.parkedToGiveUp().values().forEach(ids::addAll);
        return ids;
    }

    /** How many of the selected letters failed for which reason. */
    public Map<FailureReason, Long> reasons() {
        Map<FailureReason, Long> reasons = new TreeMap<>();
        letters().forEach(letter -> reasons.merge(letter.origin().reason(), 1L, Long::sum));
        return reasons;
    }

    /** How many of the selected letters stand how, and how many events of parked keys that are {@link #leftOut}. */
    public Map<Standing, Long> standings() {
        return counts(found, out -> true);
    }

    /** An event that is being handled again is a letter and parked, and counts once. */
    private Map<Standing, Long> counts(List<Found> letters, Predicate<PlannedKeys.LeftOut> parked) {
        Map<Standing, Long> standings = new TreeMap<>(aside.unlisted());
        letters.forEach(one -> standings.merge(one.standing(), 1L, Long::sum));
        keys.countLeftOut(standings, parked, underWay(letters));
        return standings;
    }

    private static Set<String> underWay(List<Found> letters) {
        Set<String> ids = new HashSet<>();
        letters.stream()
                .filter(one -> one.standing() == Standing.UNDER_WAY)
                .forEach(one -> ids.add(one.mark().eventId()));
        return ids;
    }

    /** The letters without those whose events have their places among parked ones that something becomes of. */
    private List<Found> lettersBeside(Set<String> parked) {
        return found.stream()
                .filter(one -> one.standing() != Standing.UNDER_WAY
                        || !parked.contains(one.mark().eventId()))
                .toList();
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
        Map<Standing, Long> leftAlone = counts(lettersBeside(keys.parkedToRedrive()), out -> true);
        return new RedriveRun(source, asked, found, keys).redrive(leftAlone, noted("note", note));
    }

    /**
     * Gives up what was planned, and what cannot be redriven, for good: {@link #discardable} events. They count as SKIPPED, whoever
     * meets one skips it. An event whose handler runs right now is waited for a second and then left alone ({@link Standing#HELD}): it
     * either has its effect or is given up, never both, if its handler's effects are in the inbox's transaction; others may be there of an event
     * that is given up, for the transaction can fail behind them. The letters stay in their topic until retention takes them. One that is not
     * to be believed, and one whose id belongs to another event, is known by its place from then on, so that no other event is touched.
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
        return new DiscardRun(source, asked, toGiveUp(), keys.parkedToGiveUp())
                .discard(leftAlone(), noted("reason", reason));
    }

    /**
     * Writes the selected letters, as {@link #letters} has them, and the events that are parked now with the selected keys, {@link #leftOut}
     * too, with key, value and headers, each as one line of JSON; what is absent is {@code null}. Nothing else in this library shows what
     * an event holds. However much it is, of events no more than 500 and some 16 MiB are in memory at a time.
     *
     * @return how many lines were written
     */
    public long export(Appendable out) throws IOException {
        return new LetterExport(source, found, keys).writeTo(out);
    }

    /** What a discard leaves alone. */
    private Map<Standing, Long> leftAlone() {
        List<Found> letters = lettersBeside(withTheirKeys()).stream()
                .filter(givenUp().negate())
                .toList();
        Map<Standing, Long> left = counts(letters, out -> !out.canBeGivenUp());
        long waiting = keys.waitingBesideLetters(asked.selection(), underWay(letters));
        if (waiting > 0) {
            left.merge(Standing.WAITING, waiting, Long::sum);
        }
        return left;
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
