package dev.eventbus.faults;

import java.util.SplittableRandom;

/** How a handler deals with an event. Follows from the event's id alone, so that every process and the checker agree. */
enum Fate {
    /** 0.5 %: is to be dead-lettered. */
    FAILS_ALWAYS(5, Integer.MAX_VALUE),
    /** 1 %: succeeds with the last of its attempts. */
    FAILS_THRICE(10, 3),
    /** 3 %. */
    FAILS_ONCE(30, 1),
    /** 0.2 %. */
    SLOW(2, 0),
    SUCCEEDS(953, 0);

    private static final int ALL = 1_000;

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
        int dice = new SplittableRandom(eventId.hashCode()).nextInt(ALL);
        for (Fate fate : values()) {
            dice -= fate.perMille;
            if (dice < 0) {
                return fate;
            }
        }
        return SUCCEEDS;
    }

    static boolean failsAlways(String eventId) {
        return of(eventId) == FAILS_ALWAYS;
    }
}
