package dev.eventbus.faults;

import dev.eventbus.faults.check.Ending;
import java.util.SplittableRandom;

/** How a handler deals with an event. Follows from the event's id alone, so that every process and the checker agree. */
enum Fate {
    /** 0.5 %: is to be dead-lettered, or parked; every second of the parked ones succeeds when it is redriven. */
    FAILS_ALWAYS(5, Integer.MAX_VALUE),
    /** Those whose id says so: ends the process that handles it, always. */
    HALTS(0, 0),
    /** 1 %: succeeds with the last of its attempts. */
    FAILS_THRICE(10, 3),
    /** 3 %. */
    FAILS_ONCE(30, 1),
    /** 0.2 %. */
    SLOW(2, 0),
    SUCCEEDS(953, 0);

    private static final int ALL = 1_000;

    /** How ids of events begin that end the process. */
    static final String HALTING = "halts-";

    private final int perMille;

    /** Attempts that fail. */
    final int failures;

    Fate(int perMille, int failures) {
        this.perMille = perMille;
        this.failures = failures;
    }

    /** Of all events. */
    double share() {
        return (double) perMille / ALL;
    }

    static Fate of(String eventId) {
        if (eventId.startsWith(HALTING)) {
            return HALTS;
        }
        int dice = new SplittableRandom(eventId.hashCode()).nextInt(ALL);
        for (Fate fate : values()) {
            dice -= fate.perMille;
            if (dice < 0) {
                return fate;
            }
        }
        return SUCCEEDS;
    }

    /** Whether one that fails always succeeds once it was given up and is run again. */
    static boolean isMendedByRedrive(String eventId) {
        return of(eventId) == FAILS_ALWAYS && eventId.hashCode() % 2 == 0;
    }

    /** How an event is to end. */
    static Ending ending(String eventId, boolean parks) {
        return switch (of(eventId)) {
            case FAILS_ALWAYS ->
                !parks ? Ending.LETTER : isMendedByRedrive(eventId) ? Ending.PARKED_THEN_EFFECT : Ending.PARKED;
            case HALTS -> Ending.CONVICTION;
            default -> Ending.EFFECT;
        };
    }
}
