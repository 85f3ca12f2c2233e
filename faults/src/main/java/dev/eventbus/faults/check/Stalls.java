package dev.eventbus.faults.check;

import static java.util.Comparator.comparingLong;
import static java.util.stream.Collectors.groupingBy;

import dev.eventbus.faults.check.History.Effect;
import dev.eventbus.faults.check.History.Written;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Times in which a key had work and made no progress: from when its oldest event without an effect was committed, or its last
 * effect, to the next effect. Dead letters are no progress here, so a key of which an event was given up may show a little more.
 */
public final class Stalls {

    /** @param at the effect that ended it, milliseconds */
    public record Stall(String key, long since, long at) {

        /** How long it took. */
        public Duration length() {
            return Duration.ofMillis(at - since);
        }
    }

    /** A time in which nothing is promised, in milliseconds. */
    public record Window(long from, long to) {

        /** The end of what has none. Far enough from the largest number to be counted on with. */
        public static final long NEVER = Long.MAX_VALUE / 2;

        /** The same, so much longer. */
        public Window longerBy(Duration more) {
            return to == NEVER ? this : new Window(from, to + more.toMillis());
        }

        /** Whether it has something of a life. */
        boolean meets(long birth, Duration life) {
            return birth <= to && birth + life.toMillis() >= from;
        }
    }

    private final List<Stall> stalls = new ArrayList<>();

    /** Finds all of them. */
    public Stalls(History history) {
        Map<String, Long> committed = new HashMap<>();
        history.ledger().forEach((Written written) -> committed.put(written.id(), written.atMillis()));
        history.effects().stream()
                .filter(effect -> committed.containsKey(effect.id()))
                .collect(groupingBy(Effect::key))
                .forEach((key, effects) -> add(key, effects, committed));
    }

    private void add(String key, List<Effect> effects, Map<String, Long> committed) {
        long before = 0;
        for (Effect effect :
                effects.stream().sorted(comparingLong(Effect::atMillis)).toList()) {
            long since = Math.max(before, committed.getOrDefault(effect.id(), before));
            stalls.add(new Stall(key, since, effect.atMillis()));
            before = effect.atMillis();
        }
    }

    /** The longest of all. */
    public Optional<Stall> worst() {
        return stalls.stream().max(Comparator.comparing(Stall::length));
    }

    /** Those that are longer than a limit, time within a window not counted. */
    public List<Stall> longerThan(Duration limit, List<Window> windows) {
        return stalls.stream()
                .filter(stall -> stall.length().compareTo(limit) > 0)
                .filter(stall -> outside(stall, windows) > limit.toMillis())
                .toList();
    }

    /** Those that are longer than is promised. */
    public Findings judge(Duration limit, List<Window> windows) {
        Findings found = new Findings();
        longerThan(limit, windows).forEach(stall -> found.add(Violation.STUCK_KEY, stall + " " + stall.length()));
        return found;
    }

    /** The longest stretch of a stall that is in no window. */
    private static long outside(Stall stall, List<Window> windows) {
        long longest = 0;
        long free = stall.since();
        for (Window window :
                windows.stream().sorted(comparingLong(Window::from)).toList()) {
            longest = Math.max(longest, Math.min(window.from(), stall.at()) - free);
            free = Math.max(free, window.to());
        }
        return Math.max(longest, stall.at() - free);
    }
}
