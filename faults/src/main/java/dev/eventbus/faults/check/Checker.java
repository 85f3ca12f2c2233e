package dev.eventbus.faults.check;

import static java.util.Comparator.comparing;
import static java.util.Comparator.comparingLong;
import static java.util.stream.Collectors.groupingBy;
import static java.util.stream.Collectors.toMap;
import static java.util.stream.Collectors.toSet;

import dev.eventbus.faults.check.History.Effect;
import dev.eventbus.faults.check.History.Letter;
import dev.eventbus.faults.check.History.Parked;
import dev.eventbus.faults.check.History.Position;
import dev.eventbus.faults.check.History.Sent;
import dev.eventbus.faults.check.History.Written;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Compares a {@link History} with the promises.
 *
 * <pre>{@code
 * Findings found = new Checker(history, id -> id.equals("poison") ? Ending.LETTER : Ending.EFFECT).check();
 * }</pre>
 *
 * <p>Of a run that has not drained it judges what has come so far: nothing that still waits is called lost. Whether it has
 * drained is the caller's question to {@link History#drained()}.
 */
public final class Checker {

    /** The reason of a letter of what ends the process. */
    private static final String CONVICTED = "CRASHED_HANDLER";

    /** A key that is to be handled again. */
    private static final String REDRIVE = "REDRIVE";

    private final History history;
    private final Function<String, Ending> endings;
    private final Map<String, Written> ledger;
    private final Map<String, Sent> firsts = new HashMap<>();
    private final Map<Position, Sent> byPosition = new HashMap<>();
    private final Findings found = new Findings();

    /** @param endings how an event is to end, by its id */
    public Checker(History history, Function<String, Ending> endings) {
        this.history = history;
        this.endings = endings;
        this.ledger = history.ledger().stream().collect(toMap(Written::id, Function.identity()));
        inOrder(history.topic()).forEach(sent -> {
            firsts.putIfAbsent(sent.id(), sent);
            byPosition.put(sent.at(), sent);
        });
    }

    /** What is wrong. */
    public Findings check() {
        writes();
        wireOrder();
        endings();
        effects();
        letters();
        orphans();
        return found;
    }

    private static List<Sent> inOrder(List<Sent> topic) {
        return topic.stream()
                .sorted(comparing((Sent sent) -> sent.at().partition())
                        .thenComparing(sent -> sent.at().offset()))
                .toList();
    }

    /** P1 and P2: what was committed is on its way, and nothing else. */
    private void writes() {
        for (Written written : history.ledger()) {
            if (!firsts.containsKey(written.id()) && !history.outbox().contains(written.id())) {
                found.add(Violation.LOST_WRITE, written.toString());
            }
        }
        for (Sent sent : history.topic()) {
            Written written = ledger.get(sent.id());
            if (written == null) {
                found.add(Violation.PHANTOM, sent.toString());
            } else if (!written.key().equals(sent.key()) || !written.digest().equals(sent.digest())) {
                found.add(Violation.CORRUPT, written + " became " + sent);
            }
        }
    }

    /** P3: first occurrences of a key are in the order of its commits, in one partition. */
    private void wireOrder() {
        Map<String, Integer> partitions = new HashMap<>();
        Map<String, Sent> latest = new HashMap<>();
        Set<String> seen = new HashSet<>();
        for (Sent sent : inOrder(history.topic())) {
            Integer partition = partitions.putIfAbsent(sent.key(), sent.at().partition());
            if (partition != null && partition != sent.at().partition()) {
                found.add(Violation.KEY_SPLIT, sent + " while others are in partition " + partition);
            }
            Written written = ledger.get(sent.id());
            if (written == null || !seen.add(sent.id())) {
                continue;
            }
            Sent before = latest.put(sent.key(), sent);
            if (before != null && number(before.id()) >= written.number()) {
                found.add(Violation.NONMONOTONIC_SEND, written + " at " + sent.at() + " after " + before);
            }
        }
    }

    private long number(String id) {
        return Objects.requireNonNull(ledger.get(id)).number();
    }

    /** P6: what the group's offset has passed has ended as it should. */
    private void endings() {
        Set<String> effected = history.effects().stream().map(Effect::id).collect(toSet());
        Set<String> healed = history.effects().stream()
                .filter(Effect::healed)
                .map(Effect::id)
                .collect(toSet());
        Set<String> dead = history.letters().stream().map(Letter::id).collect(toSet());
        Set<String> waiting =
                history.parked().stream().filter(Parked::waits).map(Parked::id).collect(toSet());
        for (Written written : history.ledger()) {
            Sent sent = firsts.get(written.id());
            if (sent == null || !history.passed(sent.at())) {
                continue;
            }
            boolean hasEffect = effected.contains(written.id());
            boolean hasLetter = dead.contains(written.id()) || history.givenUp().contains(written.id());
            switch (endings.apply(written.id())) {
                case EFFECT, PARKED_THEN_EFFECT -> {
                    if (!hasEffect && !waiting.contains(written.id())) {
                        found.add(Violation.LOST_EFFECT, written + " at " + sent.at());
                    }
                }
                case LETTER, PARKED -> {
                    if (!hasLetter && !healed.contains(written.id())) {
                        found.add(Violation.DLQ_MISSING, written + " at " + sent.at());
                    }
                }
                case CONVICTION -> {
                    if (!hasLetter) {
                        found.add(Violation.DLQ_MISSING, written + " at " + sent.at());
                    }
                }
            }
        }
    }

    /** P4 and P5: one effect for each event, in the order of its key. */
    private void effects() {
        history.effects().stream().collect(groupingBy(Effect::id)).values().stream()
                .filter(same -> same.size() > 1)
                .forEach(same -> found.add(Violation.DOUBLE_EFFECT, same.toString()));
        for (Effect effect : history.effects()) {
            Written written = ledger.get(effect.id());
            if (written == null) {
                found.add(Violation.PHANTOM, effect.toString());
            } else if (!written.key().equals(effect.key())
                    || !written.digest().equals(effect.digest())
                    || written.number() != effect.number()) {
                found.add(Violation.CORRUPT, written + " became " + effect);
            } else if (effect.failed()) {
                found.add(Violation.FAILED_EFFECT, effect.toString());
            }
        }
        history.effects().stream().collect(groupingBy(Effect::key)).values().forEach(this::effectOrder);
    }

    private void effectOrder(List<Effect> ofKey) {
        Set<String> seen = new HashSet<>();
        Effect before = null;
        for (Effect effect : ofKey.stream().sorted(comparingLong(Effect::nth)).toList()) {
            if (!seen.add(effect.id())) {
                continue; // told as a double effect
            }
            if (isBehind(effect, before)) {
                found.add(Violation.REORDERED_EFFECT, effect + " after " + before);
            }
            before = effect;
        }
    }

    private static boolean isBehind(Effect effect, @Nullable Effect before) {
        return before != null && (before.number() >= effect.number() || before.nth() == effect.nth());
    }

    /** P6: dead letters are of what fails, and untouched. */
    private void letters() {
        Set<String> effected = history.effects().stream().map(Effect::id).collect(toSet());
        for (Letter letter : history.letters()) {
            Ending ending = endings.apply(letter.id());
            boolean mayHaveBoth = ending == Ending.PARKED || ending == Ending.PARKED_THEN_EFFECT;
            if (!ledger.containsKey(letter.id())
                    || ending == Ending.EFFECT
                    || effected.contains(letter.id()) && !mayHaveBoth) {
                found.add(Violation.DLQ_PHANTOM, letter.toString());
            } else if (letter.reason().equals(CONVICTED) != (ending == Ending.CONVICTION)) {
                found.add(Violation.WRONG_CONVICTION, letter.toString());
            }
            Sent source = byPosition.get(letter.of());
            if (source == null
                    || !source.id().equals(letter.id())
                    || !source.bytes().equals(letter.bytes())) {
                found.add(Violation.DLQ_ALTERED, letter + " of " + source);
            }
        }
    }

    /** P6: whoever is parked waits for a person; who waits for nobody is forgotten. */
    private void orphans() {
        for (Parked parked : history.parked()) {
            boolean forgotten =
                    !parked.waits() || parked.key().isEmpty() || parked.key().equals(REDRIVE) && !parked.moves();
            if (forgotten) {
                found.add(Violation.ORPHAN_PARKED, parked.toString());
            }
        }
    }
}
