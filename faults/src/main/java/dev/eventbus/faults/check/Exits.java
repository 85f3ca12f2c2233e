package dev.eventbus.faults.check;

import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;

/** P9: how processes ended that no fault had ended. Thread-safe. */
public final class Exits {

    /** Code of a process that an event has ended, as it is to be. */
    public static final int BY_EVENT = 78;

    /**
     * How often one event may end a process: before anybody watches, once under watch, five times alone; and twice more if an owner hands it
     * over in order in between.
     */
    static final int MOST_BY_EVENT = 9;

    private final Queue<String> unexpected = new ConcurrentLinkedQueue<>();
    private final Queue<String> byEvent = new ConcurrentLinkedQueue<>();

    /**
     * One has ended by itself.
     *
     * @param handles whether it handles events, so that one may have ended it
     * @param mayHalt whether it was started to halt somewhere
     * @param log where it tells why
     */
    public void byItself(String process, boolean handles, boolean mayHalt, int code, Object log) {
        if (handles && code == BY_EVENT) {
            byEvent.add(process);
        } else if (!mayHalt) {
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

    /**
     * Those that should not have ended, or not like this.
     *
     * @param halting how many events end the process that handles them
     */
    public Findings findings(int halting) {
        Findings found = new Findings();
        unexpected.forEach(end -> found.add(Violation.UNEXPECTED_EXIT, end));
        if (byEvent.size() > halting * MOST_BY_EVENT) {
            found.add(
                    Violation.UNEXPECTED_EXIT,
                    "%d by %d events that end the process: %s".formatted(byEvent.size(), halting, byEvent));
        }
        return found;
    }

    /** How often an event has ended a process, as it was to be. */
    public int byEvents() {
        return byEvent.size();
    }
}
