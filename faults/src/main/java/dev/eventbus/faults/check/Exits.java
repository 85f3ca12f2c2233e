package dev.eventbus.faults.check;

import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;

/** P9: how processes ended that no fault had ended. Thread-safe. */
public final class Exits {

    private final Queue<String> unexpected = new ConcurrentLinkedQueue<>();

    /**
     * One has ended by itself.
     *
     * @param mayHalt whether it was started to halt somewhere
     * @param log where it tells why
     */
    public void byItself(String process, boolean mayHalt, int code, Object log) {
        if (!mayHalt) {
            unexpected.add("%s with code %d, see %s".formatted(process, code, log));
        }
    }

    /**
     * One was told to end while all was well.
     *
     * @param inTime whether it did, before it was killed
     * @param log where it tells why
     */
    public void asTold(String process, boolean inTime, int code, Object log) {
        if (!inTime || code != 0) {
            unexpected.add("%s did not close as it should, see %s".formatted(process, log));
        }
    }

    /** Those that should not have ended, or not like this. */
    public Findings findings() {
        Findings found = new Findings();
        unexpected.forEach(end -> found.add(Violation.UNEXPECTED_EXIT, end));
        return found;
    }
}
