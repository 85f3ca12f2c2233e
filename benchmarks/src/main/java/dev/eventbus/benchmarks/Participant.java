package dev.eventbus.benchmarks;

/** Whoever takes part in a question. */
interface Participant {

    String name();

    /** Whether it is a peer, which may be absent, and not the limit or us. */
    default boolean isPeer() {
        return false;
    }
}
