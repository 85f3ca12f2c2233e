package dev.eventbus.consumer.redrive;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/**
 * How often events were redriven of which any letter says so, selected or not. Of those that are not listed only so many are
 * remembered; when that is not enough, the letters must be read a second time, and then only listed events count. One thread.
 */
final class Rounds {

    private final int most;
    private final Map<String, Integer> byIdentity = new HashMap<>();
    private boolean complete = true;

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
        String identity = found.identity();
        if (byIdentity.size() < most || byIdentity.containsKey(identity) || listed.contains(identity)) {
            byIdentity.merge(identity, redrives, Math::max);
        } else {
            complete = false;
        }
    }

    /** The same in the second reading: of listed events alone. */
    void readAgain(Found found, Set<String> listed) {
        if (listed.contains(found.identity())) {
            byIdentity.merge(found.identity(), found.origin().redrives(), Math::max);
        }
    }

    /** What must be known before the second reading; nothing else is kept. */
    void keepOnly(Set<String> listed) {
        byIdentity.keySet().retainAll(listed);
    }

    /** Whether a letter had to be passed over that may be of a listed event. */
    boolean isComplete() {
        return complete;
    }

    int of(String identity) {
        return byIdentity.getOrDefault(identity, 0);
    }

    int size() {
        return byIdentity.size();
    }
}
