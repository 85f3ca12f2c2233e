package dev.eventbus.faults.check;

import static java.util.Comparator.comparing;
import static java.util.Comparator.comparingLong;
import static java.util.stream.Collectors.groupingBy;
import static java.util.stream.Collectors.toMap;
import static java.util.stream.Collectors.toSet;

import dev.eventbus.faults.check.History.Effect;
import dev.eventbus.faults.check.History.Letter;
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
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Compares a {@link History} with the promises.
 *
 * <pre>{@code
 * Findings found = new Checker(history, id -> id.startsWith("poison")).check();
 * }</pre>
 *
 * <p>Of a run that has not drained it judges what has come so far: nothing that still waits is called lost. Whether it has
 * drained is the caller's question to {@link History#drained()}.
 */
public final class Checker {

    private final History history;
    private final Predicate<String> failsAlways;
    private final Map<String, Written> ledger;
    private final Map<String, Sent> firsts = new HashMap<>();
    private final Map<Position, Sent> byPosition = new HashMap<>();
    private final Findings found = new Findings();

    /** @param failsAlways whether the handler fails at an event however often it is tried, by its id */
    public Checker(History history, Predicate<String> failsAlways) {
        this.history = history;
        this.failsAlways = failsAlways;
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
            if (before != null && number(before.id()) > written.number()) {
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
        Set<String> dead = history.letters().stream().map(Letter::id).collect(toSet());
        for (Written written : history.ledger()) {
            Sent sent = firsts.get(written.id());
            if (sent == null || !history.passed(sent.at())) {
                continue;
            }
            if (failsAlways.test(written.id())) {
                if (!dead.contains(written.id())) {
                    found.add(Violation.DLQ_MISSING, written + " at " + sent.at());
                }
            } else if (!effected.contains(written.id())) {
                found.add(Violation.LOST_EFFECT, written + " at " + sent.at());
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
            if (!ledger.containsKey(letter.id()) || !failsAlways.test(letter.id()) || effected.contains(letter.id())) {
                found.add(Violation.DLQ_PHANTOM, letter.toString());
            }
            Sent source = byPosition.get(letter.of());
            if (source == null
                    || !source.id().equals(letter.id())
                    || !source.bytes().equals(letter.bytes())) {
                found.add(Violation.DLQ_ALTERED, letter + " of " + source);
            }
        }
    }
}
