package dev.eventbus.faults.wire;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.faults.wire.LoopbackProxy.Dialogue;
import dev.eventbus.faults.wire.LoopbackProxy.Link;
import dev.eventbus.faults.wire.LoopbackProxy.Protocol;
import dev.eventbus.faults.wire.LoopbackProxy.Way;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * PostgreSQL's protocol (version 3, without TLS), with rules for COMMIT.
 *
 * <pre>{@code
 * PostgresWire wire = new PostgresWire();
 * LoopbackProxy network = LoopbackProxy.open(wire).forwardTo("127.0.0.1:5432");
 * wire.loseAnswerOfCommit(1);
 * }</pre>
 *
 * <p>Thread-safe.
 */
public final class PostgresWire implements Protocol {

    private static final int SSL_REQUEST = 80_877_103;
    private static final int GSS_REQUEST = 80_877_104;
    private static final int CANCEL_REQUEST = 80_877_102;

    private final AtomicInteger answersToLose = new AtomicInteger();
    private final AtomicInteger commitsToLose = new AtomicInteger();
    private final AtomicInteger lost = new AtomicInteger();

    /** So many of the next commits happen, and their connection ends before the answer. */
    public void loseAnswerOfCommit(int next) {
        answersToLose.set(next);
    }

    /** So many of the next commits never reach the server; their connection ends. */
    public void loseCommit(int next) {
        commitsToLose.set(next);
    }

    /** How many commits and answers were lost. */
    public int lost() {
        return lost.get();
    }

    @Override
    public Dialogue begin(Link link) {
        return new Connection(link);
    }

    private boolean take(AtomicInteger left) {
        boolean taken = left.getAndUpdate(n -> Math.max(0, n - 1)) > 0;
        if (taken) {
            lost.incrementAndGet();
        }
        return taken;
    }

    private final class Connection implements Dialogue {
        private final Link link;

        /** Requests for encryption, which are answered by one byte. Raised before the server hears of them. */
        private final AtomicInteger bytesToCome = new AtomicInteger();

        /** Names of prepared statements that commit; used on the client's thread only, and so is what follows. */
        private final Set<String> commits = new HashSet<>();

        private boolean started;

        Connection(Link link) {
            this.link = link;
        }

        @Override
        public void forward(Way way, DataInputStream from) throws IOException {
            if (way == Way.TO_CLIENT) {
                answer(from);
            } else if (started) {
                request(from);
            } else {
                greeting(from);
            }
        }

        private void greeting(DataInputStream from) throws IOException {
            int length = from.readInt();
            byte[] body = body(from, length);
            switch (ByteBuffer.wrap(body).getInt()) {
                case SSL_REQUEST, GSS_REQUEST -> bytesToCome.incrementAndGet();
                case CANCEL_REQUEST -> {}
                default -> started = true;
            }
            link.write(
                    Way.TO_SERVER,
                    ByteBuffer.allocate(length).putInt(length).put(body).array());
        }

        private void request(DataInputStream from) throws IOException {
            byte type = from.readByte();
            int length = from.readInt();
            byte[] body = body(from, length);
            if (isCommit((char) type, ByteBuffer.wrap(body)) && take(commitsToLose)) {
                link.reset();
            }
            write(Way.TO_SERVER, type, length, body);
        }

        private boolean isCommit(char type, ByteBuffer body) {
            switch (type) {
                case 'Q':
                    return commits(text(body));
                case 'P':
                    String prepared = text(body);
                    boolean commit = commits(text(body));
                    if (commit) {
                        commits.add(prepared);
                    } else {
                        commits.remove(prepared);
                    }
                    return false;
                case 'B':
                    text(body);
                    return commits.contains(text(body));
                default:
                    return false;
            }
        }

        private static boolean commits(String sql) {
            return sql.strip().toUpperCase(Locale.ROOT).startsWith("COMMIT");
        }

        private void answer(DataInputStream from) throws IOException {
            byte type = from.readByte();
            if (bytesToCome.get() > 0) {
                bytesToCome.decrementAndGet();
                link.write(Way.TO_CLIENT, new byte[] {type});
                return;
            }
            int length = from.readInt();
            byte[] body = body(from, length);
            if (type == 'C' && text(ByteBuffer.wrap(body)).equals("COMMIT") && take(answersToLose)) {
                link.reset();
            }
            write(Way.TO_CLIENT, type, length, body);
        }

        private static byte[] body(DataInputStream from, int length) throws IOException {
            byte[] body = new byte[length - Integer.BYTES];
            from.readFully(body);
            return body;
        }

        /** Text up to the next zero. */
        private static String text(ByteBuffer from) {
            int start = from.position();
            while (from.get() != 0) {
                // on to the end
            }
            return new String(from.array(), start, from.position() - 1 - start, UTF_8);
        }

        private void write(Way way, byte type, int length, byte[] body) {
            link.write(
                    way,
                    ByteBuffer.allocate(1 + length)
                            .put(type)
                            .putInt(length)
                            .put(body)
                            .array());
        }
    }
}
