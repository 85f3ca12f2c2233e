package dev.eventbus.faults.check;

/** How an event is to end. */
public enum Ending {
    /** With its effect and no dead letter. */
    EFFECT,
    /** With a dead letter; or with an effect, if what its handler fails at is mended before it is given up. Never with both. */
    LETTER,
    /** As it may be: with a dead letter, with an effect once it is redriven, or given up by a person. */
    PARKED,
    /** With its effect, once it is redriven; until then as one that is parked. */
    PARKED_THEN_EFFECT,
    /** With a dead letter that says that it ends the process; or given up before there was one. */
    CONVICTION;

    /** Whether an offset may pass it before it has an effect. */
    boolean needsNoEffect() {
        return this != EFFECT;
    }
}
