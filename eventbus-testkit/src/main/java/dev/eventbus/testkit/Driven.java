package dev.eventbus.testkit;

import java.time.Instant;
import org.jspecify.annotations.Nullable;

/** A runner or a relay that the bus drives pass by pass. */
interface Driven extends AutoCloseable {

    /** One pass; how much it did. */
    int runOnce();

    /** When something that waits for time is due; null if nothing does. */
    @Nullable
    Instant nextDue();

    /** Whether its user has closed it. */
    boolean isClosed();

    /** What it is and what it waits for, in lines, for a person. */
    String describe();

    @Override
    void close();
}
