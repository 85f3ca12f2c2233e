package dev.eventbus.topics;

import dev.eventbus.ErrorCode;
import dev.eventbus.internal.RunLoop;
import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLException;
import org.apache.kafka.common.utils.Utils;

/**
 * Asks the addresses of a cluster what they speak. Kafka's clients answer a closed port, TLS on a plaintext port and plaintext on a TLS
 * port with the same time-out; a socket tells them apart at once. No secret is sent and no certificate is looked at: to a TLS port goes
 * the beginning of a handshake, to a plaintext port the request ApiVersions, which Kafka answers before it knows who asks.
 */
final class BrokerProbe {

    /** How long one probe of all addresses takes at most, beside looking up their names. */
    static final Duration LIMIT = Duration.ofSeconds(2);

    /** How long a connection, and then an answer, is waited for. */
    private static final Duration PATIENCE = Duration.ofMillis(500);

    /** Between two questions to a closed port. */
    private static final Duration PAUSE = Duration.ofMillis(100);

    private static final int CORRELATION_ID = 0x65766273;

    /** ApiVersions (18), version 0, without a client id; Kafka protocol guide. */
    private static final byte[] API_VERSIONS = ByteBuffer.allocate(14)
            .putInt(10)
            .putShort((short) 18)
            .putShort((short) 0)
            .putInt(CORRELATION_ID)
            .putShort((short) -1)
            .array();

    /** Types of TLS records that answer a ClientHello: alert and handshake; RFC 8446, 5.1. */
    private static final byte TLS_ALERT = 21;

    private static final byte TLS_HANDSHAKE = 22;

    /** What an address turned out to be. */
    private enum Answer {
        AS_WANTED,
        REFUSED,
        OTHER_PROTOCOL,
        /** Nobody can say: nothing answered in time, or something else than Kafka did. */
        UNCLEAR
    }

    /** What keeps a client from the cluster. */
    record Finding(ErrorCode code, String what) {}

    private final List<String> addresses;
    private final boolean tls;

    private BrokerProbe(List<String> addresses, boolean tls) {
        this.addresses = addresses;
        this.tls = tls;
    }

    /** Of a cluster that somebody else makes the clients of, nothing is known. */
    static BrokerProbe of(KafkaCluster kafka) {
        List<String> addresses = kafka instanceof ConfiguredKafkaCluster
                ? List.of(kafka.bootstrapServers().split(","))
                : List.of();
        String protocol = kafka.setting("security.protocol", "PLAINTEXT");
        return new BrokerProbe(
                addresses, protocol.strip().toUpperCase(Locale.ROOT).endsWith("SSL"));
    }

    /** Whether the clients do, by their settings. */
    boolean speaksTls() {
        return tls;
    }

    /** False for a cluster in memory, for instance. */
    boolean hasAddresses() {
        return !addresses.isEmpty();
    }

    /**
     * Asks until a broker answers as the client expects, or nothing certain can be said, or it is certain that none will: a port that is
     * closed now may be that of a broker that starts, so this waits for it.
     *
     * @param patience at most so long for a closed port
     */
    Optional<Finding> await(Duration patience) {
        List<Finding> last = new ArrayList<>();
        RunLoop.await(patience, PAUSE, () -> {
            last.clear();
            ask(patience).ifPresent(last::add);
            return last.isEmpty() || last.get(0).code() != ErrorCode.NOBODY_LISTENS;
        });
        return last.stream().findFirst();
    }

    /** Asks all addresses in turn until one answers as the client expects. Empty too if nothing certain can be said. */
    Optional<Finding> ask() {
        return ask(LIMIT);
    }

    private Optional<Finding> ask(Duration atMost) {
        long deadline = System.nanoTime() + Math.min(LIMIT.toNanos(), atMost.toNanos());
        List<Answer> answers = new ArrayList<>();
        for (String address : addresses) {
            Answer answer = ask(address, deadline);
            if (answer == Answer.AS_WANTED) {
                return Optional.empty();
            }
            answers.add(answer);
        }
        if (answers.isEmpty() || answers.contains(Answer.UNCLEAR)) {
            return Optional.empty();
        }
        int other = answers.indexOf(Answer.OTHER_PROTOCOL);
        if (other < 0) {
            return Optional.of(new Finding(ErrorCode.NOBODY_LISTENS, "is not there: the connection is refused"));
        }
        String address = addresses.get(other);
        return Optional.of(
                tls
                        ? new Finding(
                                ErrorCode.SPEAKS_PLAINTEXT,
                                "speaks plaintext at %s, and this client is set to TLS".formatted(address))
                        : new Finding(
                                ErrorCode.SPEAKS_TLS,
                                "speaks TLS at %s, and this client is set to plaintext".formatted(address)));
    }

    /** A name may have several addresses, and Kafka's client tries them all. */
    private Answer ask(String address, long deadline) {
        try {
            Answer answer = Answer.UNCLEAR;
            for (InetAddress host : InetAddress.getAllByName(Utils.getHost(address))) {
                answer = ask(new InetSocketAddress(host, Utils.getPort(address)), deadline);
                if (answer != Answer.REFUSED) {
                    return answer;
                }
            }
            return answer;
        } catch (IOException | RuntimeException e) {
            return Answer.UNCLEAR; // the client finds out, and has more time
        }
    }

    private Answer ask(InetSocketAddress broker, long deadline) throws IOException {
        try {
            byte[] answer = answerTo(tls, broker, deadline);
            if (isFor(tls, answer)) {
                return Answer.AS_WANTED;
            }
            return isFor(!tls, answer) || isFor(!tls, answerTo(!tls, broker, deadline))
                    ? Answer.OTHER_PROTOCOL
                    : Answer.UNCLEAR;
        } catch (ConnectException e) {
            return Answer.REFUSED;
        }
    }

    /** The first bytes of the answer, as far as they came in time; none if the connection was closed. */
    private static byte[] answerTo(boolean inTls, InetSocketAddress broker, long deadline) throws IOException {
        try (Socket socket = new Socket(Proxy.NO_PROXY)) { // as Kafka's client, which knows no SOCKS
            socket.connect(broker, patience(deadline));
            return answer(socket, inTls ? clientHello(broker) : API_VERSIONS, deadline);
        }
    }

    /** Milliseconds that may still be waited for one thing. */
    private static int patience(long deadline) throws SocketTimeoutException {
        long left = Math.min(PATIENCE.toMillis(), TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime()));
        if (left <= 0) {
            throw new SocketTimeoutException("out of time");
        }
        return (int) left;
    }

    private static byte[] answer(Socket socket, byte[] question, long deadline) {
        byte[] answer = new byte[2 * Integer.BYTES];
        int length = 0;
        try {
            socket.getOutputStream().write(question);
            InputStream in = socket.getInputStream();
            for (int read = 0; read >= 0 && length < answer.length; ) {
                length += read;
                socket.setSoTimeout(patience(deadline));
                read = in.read(answer, length, answer.length - length);
            }
        } catch (IOException e) { // silence, or a reset as the answer to what it does not understand
            return Arrays.copyOf(answer, length);
        }
        return Arrays.copyOf(answer, length);
    }

    private static boolean isFor(boolean inTls, byte[] answer) {
        if (inTls) {
            return answer.length > 0 && (answer[0] == TLS_HANDSHAKE || answer[0] == TLS_ALERT);
        }
        return answer.length == 2 * Integer.BYTES && ByteBuffer.wrap(answer).getInt(Integer.BYTES) == CORRELATION_ID;
    }

    private static byte[] clientHello(InetSocketAddress broker) throws SSLException {
        try {
            SSLEngine engine = SSLContext.getDefault().createSSLEngine(broker.getHostString(), broker.getPort());
            engine.setUseClientMode(true);
            engine.beginHandshake();
            ByteBuffer hello = ByteBuffer.allocate(engine.getSession().getPacketBufferSize());
            engine.wrap(ByteBuffer.allocate(0), hello);
            return Arrays.copyOf(hello.array(), hello.position());
        } catch (NoSuchAlgorithmException e) {
            throw new SSLException("this JVM has no TLS", e);
        }
    }
}
