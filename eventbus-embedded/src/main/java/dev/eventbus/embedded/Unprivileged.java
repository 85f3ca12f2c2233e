package dev.eventbus.embedded;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * PostgreSQL refuses to run as root. As root it is therefore started in a user namespace of its own, where it is nobody
 * and yet owns root's files.
 */
final class Unprivileged {

    private static final List<String> OWN_NAMESPACE = List.of("unshare", "-U");

    private Unprivileged() {}

    /** What to put in front of a command: nothing unless we, the owner of the file, are root. */
    static List<String> prefix(Path ownFile) {
        return ownedByRoot(ownFile) ? checked(OWN_NAMESPACE) : List.of();
    }

    /** The code is one of {@code dev.eventbus.ErrorCode}, which this module does not have. */
    static List<String> checked(List<String> prefix) {
        if (!works(prefix)) {
            throw new EmbeddedServerException(
                    "EB-6001 Embedded PostgreSQL cannot run as root here (unshare is missing or blocked). Nothing was"
                            + " started. Run as another user, or set -Deventbus.servers=external with eventbus.external.jdbc-url, user and password"
                            + " to use a server of yours");
        }
        return prefix;
    }

    private static boolean ownedByRoot(Path file) {
        try {
            return Files.getAttribute(file, "unix:uid").equals(0);
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot find out who owns " + file, e);
        }
    }

    private static boolean works(List<String> prefix) {
        try {
            ProcessBuilder trial = new ProcessBuilder(new ArrayList<>(prefix)).redirectErrorStream(true);
            trial.command().add("true");
            return trial.redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor() == 0;
        } catch (IOException e) {
            return false;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new EmbeddedServerException("Interrupted while starting PostgreSQL", e);
        }
    }
}
