package dev.eventbus.faults.check;

import dev.eventbus.faults.check.History.Effect;
import dev.eventbus.faults.check.History.Letter;
import dev.eventbus.faults.check.History.Parked;
import dev.eventbus.faults.check.History.Position;
import dev.eventbus.faults.check.History.Progress;
import dev.eventbus.faults.check.History.Sent;
import dev.eventbus.faults.check.History.Written;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * A small history in which all is well: alice's three events in partition 0, of which the second is sent twice, and bob's two in
 * partition 1, of which the first, {@code poison}, fails always. Tests spoil it.
 */
final class Story {

    final List<Written> ledger = new ArrayList<>();
    final List<Sent> topic = new ArrayList<>();
    final List<Letter> letters = new ArrayList<>();
    final List<Effect> effects = new ArrayList<>();
    final Set<String> outbox = new HashSet<>();
    final List<Parked> parked = new ArrayList<>();
    final Set<String> givenUp = new HashSet<>();
    final Map<Integer, Progress> offsets = new HashMap<>();

    /** How the poison is to end. */
    Ending poison = Ending.LETTER;

    Story() {
        write("a1", "alice", 1);
        write("a2", "alice", 2);
        write("a3", "alice", 3);
        write("poison", "bob", 1);
        write("b2", "bob", 2);
        send(0, 0, "a1", "alice");
        send(0, 1, "a2", "alice");
        send(0, 2, "a2", "alice");
        send(0, 3, "a3", "alice");
        send(1, 0, "poison", "bob");
        send(1, 1, "b2", "bob");
        letters.add(new Letter(new Position(1, 0), "poison", "bytes of poison", "ATTEMPTS_EXHAUSTED", 30));
        effect("a1", "alice", 1, 1);
        effect("a2", "alice", 2, 2);
        effect("a3", "alice", 3, 3);
        effect("b2", "bob", 2, 1);
        offsets.put(0, new Progress(4, 4));
        offsets.put(1, new Progress(2, 2));
    }

    void write(String id, String key, long number) {
        ledger.add(new Written(id, key, number, "digest of " + id, number * 10));
    }

    void send(int partition, long offset, String id, String key) {
        topic.add(new Sent(new Position(partition, offset), id, key, "digest of " + id, "bytes of " + id));
    }

    void effect(String id, String key, long number, long nth) {
        effects.add(new Effect(id, key, number, nth, "digest of " + id, false, false, number * 10 + 5));
    }

    static <T> void alter(List<T> rows, int index, UnaryOperator<T> change) {
        rows.set(index, change.apply(rows.get(index)));
    }

    History history() {
        return new History(ledger, topic, letters, effects, outbox, parked, givenUp, offsets);
    }

    Findings check() {
        return new Checker(history(), this::ending).check();
    }

    /** How an event is to end. */
    Ending ending(String eventId) {
        return eventId.equals("poison") ? poison : Ending.EFFECT;
    }
}
