package dev.eventbus.embedded;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Finds free ports on the loopback interface.
 *
 * <p>They are taken from below the range that the system gives to outgoing connections (32768 and up on Linux, 49152
 * and up on macOS), since a server here is killed and comes back on the same port: meanwhile a client that connects
 * again and again could be given that very port as its own, connect to itself, and keep the server from binding.
 */
final class FreePorts {

    /** Where every server here listens. */
    static final String ADDRESS = "127.0.0.1";

    private static final int FIRST = 20_000;
    private static final int LAST = 32_000;
    private static final int TRIES = 1_000;

    private FreePorts() {}

    /** So many different ports: all are held open together, then released together. */
    static List<Integer> find(int count) {
        List<ServerSocket> held = new ArrayList<>();
        try {
            for (int tries = 0; held.size() < count; tries++) {
                int port = ThreadLocalRandom.current().nextInt(FIRST, LAST);
                try {
                    held.add(open(port));
                } catch (IOException e) {
                    if (tries >= TRIES) {
                        throw new UncheckedIOException(
                                "No %d free ports between %d and %d on the loopback interface"
                                        .formatted(count, FIRST, LAST),
                                e);
                    }
                }
            }
            return held.stream().map(ServerSocket::getLocalPort).toList();
        } finally {
            held.forEach(FreePorts::release);
        }
    }

    /** Listens where servers here do: at 127.0.0.1, also in a JVM that prefers IPv6, whose loopback address is another. */
    static ServerSocket open(int port) throws IOException {
        return new ServerSocket(port, 1, InetAddress.getByName(ADDRESS));
    }

    private static void release(ServerSocket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot release port " + socket.getLocalPort(), e);
        }
    }
}
