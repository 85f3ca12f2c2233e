package dev.eventbus.faults;

import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Brings a server back, however long it takes: on a busy machine longer than those wait who start it, and a fault lasts until then. */
final class Comeback {

    static final Duration WITHIN = Duration.ofMinutes(3);

    private static final long LOOKS_EVERY_MILLIS = 500;

    /** A server that was ended. */
    interface Server {

        /** Whether its process exists. */
        boolean isAlive();

        /** Throws if it is not up in time, be it that it has ended or that it needs longer. */
        void start();

        /** Whether it serves. */
        boolean answers() throws InterruptedException;
    }

    private Comeback() {}

    /**
     * Returns when it serves.
     *
     * @throws IllegalStateException if it does not within that time
     */
    static void of(String name, Server server, Duration within) throws InterruptedException {
        long start = System.nanoTime();
        RuntimeException last = null;
        while (true) {
            try {
                if (comesBack(server)) {
                    return;
                }
            } catch (RuntimeException e) {
                last = e;
            }
            if (System.nanoTime() - start > within.toNanos()) {
                throw tooLate(name, within, last);
            }
            TimeUnit.MILLISECONDS.sleep(LOOKS_EVERY_MILLIS);
        }
    }

    private static boolean comesBack(Server server) throws InterruptedException {
        if (server.isAlive()) {
            return server.answers();
        }
        server.start();
        return true;
    }

    private static IllegalStateException tooLate(String name, Duration within, @Nullable RuntimeException last) {
        return new IllegalStateException("%s has not come back within %d s".formatted(name, within.toSeconds()), last);
    }
}
