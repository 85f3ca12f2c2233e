package dev.eventbus.consumer.redrive;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/**
 * How often events were redriven of which any letter says so, selected or not. A letter without its value says so of every event of its
 * id. Of those that are not listed only so many are
 * remembered; when that is not enough, the letters must be read a second time, and then only listed events count. One thread.
 */
final class Rounds {

    private final int most;
    private final Map<String, Integer> byIdentity = new HashMap<>();
    private boolean complete = true;
    private boolean full;

    /** What is still counted in the second reading. */
    private Set<String> counting = Set.of();

    /** @param most events that are remembered though they are not listed */
    Rounds(int most) {
        this.most = most;
    }

    /**
     * A letter says so.
     *
     * @param listed events that the plan lists by now
     */
    void read(Found found, Set<String> listed) {
        int redrives = found.origin().redrives();
        if (redrives == 0) {
            return;
        }
        String identity = nameOf(found);
        if (byIdentity.size() < most || byIdentity.containsKey(identity) || listed.contains(identity)) {
            byIdentity.merge(identity, redrives, Math::max);
        } else {
            complete = false;
            full = true;
        }
    }

    /** The same in the second reading, of what {@link #keepOnly} was told. */
    void readAgain(Found found) {
        String identity = nameOf(found);
        if (counting.contains(identity)) {
            byIdentity.merge(identity, found.origin().redrives(), Math::max);
        }
    }

    /** What must be known before the second reading; nothing else is kept. */
    void keepOnly(Set<String> listed) {
        counting = new HashSet<>(listed);
        listed.forEach(identity -> counting.add(Found.anyOfId(identity)));
        byIdentity.keySet().retainAll(counting);
        full = false;
    }

    /** Whether a letter had to be passed over since the letters were last read again. */
    boolean isFull() {
        return full;
    }

    /** Whether a letter had to be passed over that may be of a listed event. */
    boolean isComplete() {
        return complete;
    }

    int of(String identity) {
        return Math.max(byIdentity.getOrDefault(identity, 0), byIdentity.getOrDefault(Found.anyOfId(identity), 0));
    }

    private static String nameOf(Found found) {
        return found.lacksValue() ? Found.anyOfId(found.identity()) : found.identity();
    }

    int size() {
        return byIdentity.size();
    }
}
