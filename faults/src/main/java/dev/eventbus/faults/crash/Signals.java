package dev.eventbus.faults.crash;

import java.io.IOException;
import java.io.UncheckedIOException;

/** Sends signals. java.lang.Process knows only SIGTERM and SIGKILL, and a system may lack /bin/kill. */
public final class Signals {

    private Signals() {}

    /**
     * Sends a signal to one process.
     *
     * @param name such as {@code STOP}
     */
    public static void send(String name, long pid) {
        try {
            Process kill = new ProcessBuilder("sh", "-c", "kill -%s %d".formatted(name, pid)).start();
            if (kill.waitFor() != 0) {
                throw new IllegalStateException("cannot send SIG%s to process %d".formatted(name, pid));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while sending SIG%s to process %d".formatted(name, pid), e);
        }
    }
}
