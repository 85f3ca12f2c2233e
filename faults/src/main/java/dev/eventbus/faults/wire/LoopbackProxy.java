package dev.eventbus.faults.wire;

import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A bad network between a client and one server, both on this machine.
 *
 * <pre>{@code
 * try (LoopbackProxy network = LoopbackProxy.open();
 *         EmbeddedKafka kafka = EmbeddedKafka.builder().advertisedPorts(network.port()).start()) {
 *     network.forwardTo(kafka.address(1));
 *     network.blackHole();
 * }
 * }</pre>
 *
 * <p>A broker tells its clients where to go on, so it must be told the proxy's port before it starts; three nodes need three
 * proxies. Of a database only the address changes. Faults last until {@link #heal()}. A {@link Protocol} cuts what is said into
 * frames and may alter, lose or invent some: {@link KafkaWire}, {@link PostgresWire}.
 *
 * <p>Thread-safe. All threads are daemons and end with {@link #close()}.
 */
public final class LoopbackProxy implements AutoCloseable {

    /** Which way something goes. */
    public enum Way {
        TO_SERVER,
        TO_CLIENT
    }

    /** What is spoken over the connections of a proxy. */
    @FunctionalInterface
    public interface Protocol {

        /** Called for each connection. */
        Dialogue begin(Link link);
    }

    /** What is said on one connection. Called on two threads, one for each way. */
    @FunctionalInterface
    public interface Dialogue {

        /** Reads one frame and gives the link what the other end is to get. */
        void forward(Way way, DataInputStream from) throws IOException;
    }

    /** One connection. */
    public interface Link {

        /** Sends a piece on its way. Does not wait. */
        void write(Way way, byte[] piece);

        /** Ends it with RST at both ends. */
        void reset();
    }

    private static final int CHUNK = 64 * 1024;

    /** Everything passes as it comes. */
    private static final Protocol PLAIN = link -> (way, from) -> {
        byte[] chunk = new byte[CHUNK];
        int length = from.read(chunk);
        if (length < 0) {
            throw new EOFException();
        }
        link.write(way, Arrays.copyOf(chunk, length));
    };

    private final ServerSocket door;
    private final Protocol protocol;
    private final Set<ProxiedConnection> connections = ConcurrentHashMap.newKeySet();
    private final ExecutorService threads = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work, "loopback-proxy");
        thread.setDaemon(true);
        return thread;
    });

    private final AtomicInteger accepted = new AtomicInteger();
    private final Conditions conditions = new Conditions();
    private volatile @Nullable InetSocketAddress target;

    private LoopbackProxy(ServerSocket door, Protocol protocol) {
        this.door = door;
        this.protocol = protocol;
        threads.execute(this::accept);
    }

    /** One that forwards bytes. */
    public static LoopbackProxy open() {
        return open(PLAIN);
    }

    /** One that forwards frames. */
    public static LoopbackProxy open(Protocol protocol) {
        try {
            return new LoopbackProxy(new ServerSocket(0, 200, InetAddress.getLoopbackAddress()), protocol);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The port to give to clients. */
    public int port() {
        return door.getLocalPort();
    }

    /** The address to give to clients, as {@code 127.0.0.1:port}. */
    public String address() {
        return "127.0.0.1:" + port();
    }

    /** @param address of the server, as {@code host:port}; connections that come before are refused */
    public LoopbackProxy forwardTo(String address) {
        int colon = address.lastIndexOf(':');
        target = new InetSocketAddress(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
        return this;
    }

    /** Nothing arrives any more, in the given ways or in both; nothing is lost either, and new connections are accepted. */
    public void blackHole(Way... ways) {
        conditions.block(ways.length == 0 ? EnumSet.allOf(Way.class) : EnumSet.copyOf(Arrays.asList(ways)));
    }

    /** What is said from now on arrives so much later, in both ways. */
    public void latency(Duration latency) {
        conditions.delay(latency);
    }

    /** Ends all connections with RST; new ones work. */
    public void reset() {
        connections.forEach(ProxiedConnection::reset);
    }

    /** Ends all connections with RST, and new ones at once. */
    public void refuse() {
        conditions.refuse();
        reset();
    }

    /** Undoes all of it; what a black hole has kept arrives now. */
    public void heal() {
        conditions.heal();
    }

    /** How many connections to the server there have been. */
    public int accepted() {
        return accepted.get();
    }

    /** How many clients are connected. */
    public int connections() {
        return connections.size();
    }

    private void accept() {
        while (!door.isClosed()) {
            try {
                connect(door.accept());
            } catch (IOException e) {
                // Closed, or one client less: the next is accepted.
            }
        }
    }

    private void connect(Socket client) throws IOException {
        InetSocketAddress server = conditions.refuses() ? null : target;
        Socket toServer = new Socket();
        try {
            if (server == null) {
                throw new IOException("refused");
            }
            toServer.connect(server, 5_000);
            toServer.setTcpNoDelay(true);
            client.setTcpNoDelay(true);
        } catch (IOException e) {
            ProxiedConnection.resetAndClose(client);
            ProxiedConnection.resetAndClose(toServer);
            return;
        }
        ProxiedConnection connection = new ProxiedConnection(client, toServer, conditions, connections::remove);
        connections.add(connection);
        accepted.incrementAndGet();
        try {
            connection.begin(protocol, threads);
        } catch (RejectedExecutionException e) {
            connection.reset(); // closed meanwhile
        }
    }

    @Override
    public void close() {
        try {
            door.close();
            reset();
            threads.shutdownNow();
            if (!threads.awaitTermination(10, TimeUnit.SECONDS)) {
                throw new IllegalStateException("threads of the proxy are left");
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
