package dev.eventbus.faults.wire;

import dev.eventbus.faults.wire.LoopbackProxy.Dialogue;
import dev.eventbus.faults.wire.LoopbackProxy.Protocol;
import dev.eventbus.faults.wire.LoopbackProxy.Way;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.Socket;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A client's connection and its counterpart to the server. For each way one thread reads and cuts into frames, and another delivers
 * when the network lets it: so a reply can be invented or held back while requests go on.
 */
final class ProxiedConnection implements LoopbackProxy.Link {

    /** @param bytes null at the end of what an end has said */
    private record Piece(byte @Nullable [] bytes, long dueAt) {}

    private static final int BUFFER = 16 * 1024;

    private interface Work {
        void run() throws IOException, InterruptedException;
    }

    private final Map<Way, Socket> speaker = new EnumMap<>(Way.class);
    private final Map<Way, BlockingQueue<Piece>> onTheWay = new EnumMap<>(Way.class);
    private final Conditions conditions;
    private final Consumer<ProxiedConnection> onEnd;
    private volatile boolean ended;

    ProxiedConnection(Socket client, Socket server, Conditions conditions, Consumer<ProxiedConnection> onEnd) {
        speaker.put(Way.TO_SERVER, client);
        speaker.put(Way.TO_CLIENT, server);
        this.conditions = conditions;
        this.onEnd = onEnd;
        for (Way way : Way.values()) {
            onTheWay.put(way, new LinkedBlockingQueue<>());
        }
    }

    void begin(Protocol protocol, Executor threads) {
        Dialogue dialogue = protocol.begin(this);
        for (Way way : Way.values()) {
            threads.execute(() -> whileItLasts(() -> read(way, dialogue)));
            threads.execute(() -> whileItLasts(() -> deliver(way)));
        }
    }

    private void whileItLasts(Work work) {
        try {
            work.run();
        } catch (IOException | InterruptedException e) {
            end(false);
        } catch (RuntimeException | Error e) {
            end(true);
            throw e;
        }
    }

    private void read(Way way, Dialogue dialogue) throws IOException, InterruptedException {
        DataInputStream said =
                new DataInputStream(new BufferedInputStream(speaker(way).getInputStream(), BUFFER));
        try {
            while (!ended) {
                conditions.awaitPassage(way, System.nanoTime(), () -> ended);
                dialogue.forward(way, said);
            }
        } catch (IOException e) {
            onTheWay(way).add(new Piece(null, conditions.dueAt()));
        }
    }

    private void deliver(Way way) throws IOException, InterruptedException {
        Socket listener = speaker(way == Way.TO_SERVER ? Way.TO_CLIENT : Way.TO_SERVER);
        OutputStream told = new BufferedOutputStream(listener.getOutputStream(), BUFFER);
        while (!ended) {
            Piece piece = onTheWay(way).take();
            conditions.awaitPassage(way, piece.dueAt(), () -> ended);
            if (piece.bytes() == null) {
                told.flush();
                end(false);
            } else if (!ended) {
                told.write(piece.bytes());
                Piece next = onTheWay(way).peek();
                if (next == null || next.dueAt() - System.nanoTime() > 0) { // frames that came together go on together
                    told.flush();
                }
            }
        }
    }

    @Override
    public void write(Way way, byte[] piece) {
        onTheWay(way).add(new Piece(piece, conditions.dueAt()));
    }

    @Override
    public void reset() {
        end(true);
    }

    private void end(boolean reset) {
        ended = true;
        speaker.values().forEach(reset ? ProxiedConnection::resetAndClose : ProxiedConnection::close);
        onTheWay.values().forEach(queue -> queue.add(new Piece(null, System.nanoTime())));
        conditions.ended();
        onEnd.accept(this);
    }

    private Socket speaker(Way way) {
        return Objects.requireNonNull(speaker.get(way));
    }

    private BlockingQueue<Piece> onTheWay(Way way) {
        return Objects.requireNonNull(onTheWay.get(way));
    }

    static void resetAndClose(Socket socket) {
        try {
            socket.setSoLinger(true, 0);
        } catch (IOException e) {
            // It is closed already.
        }
        close(socket);
    }

    private static void close(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            // Nobody is left who could be told.
        }
    }
}
