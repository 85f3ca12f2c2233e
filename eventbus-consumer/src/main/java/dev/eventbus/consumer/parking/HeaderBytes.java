package dev.eventbus.consumer.parking;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;

/**
 * A record's headers as bytes: their number, then for each the length of its name, the name, the length of its value or -1, the
 * value; numbers are 4 bytes, big-endian. Order, repeats, empty and absent values are kept.
 */
public final class HeaderBytes {

    private static final int ABSENT = -1;

    private HeaderBytes() {}

    /** All of them, in order. */
    public static byte[] encode(Headers headers) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Header[] all = headers.toArray();
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            out.writeInt(all.length);
            for (Header header : all) {
                byte[] name = header.key().getBytes(UTF_8);
                out.writeInt(name.length);
                out.write(name);
                byte[] value = header.value();
                out.writeInt(value == null ? ABSENT : value.length);
                if (value != null) {
                    out.write(value);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("memory does not fail", e);
        }
        return bytes.toByteArray();
    }

    /**
     * What was encoded.
     *
     * @throws IllegalArgumentException for other bytes
     */
    public static Headers decode(byte[] bytes) {
        RecordHeaders headers = new RecordHeaders();
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes))) {
            int count = in.readInt();
            for (int i = 0; i < count; i++) {
                String name = new String(read(in, in.readInt()), UTF_8);
                int length = in.readInt();
                headers.add(name, length == ABSENT ? null : read(in, length));
            }
            if (in.available() > 0) {
                throw new IllegalArgumentException(
                        "headers of a parked event have %d bytes too many".formatted(in.available()));
            }
        } catch (IOException e) {
            throw new IllegalArgumentException("headers of a parked event end too soon", e);
        }
        return headers;
    }

    private static byte[] read(DataInputStream in, int length) throws IOException {
        if (length < 0 || length > in.available()) {
            throw new IllegalArgumentException("headers of a parked event have a part of %d bytes".formatted(length));
        }
        return in.readNBytes(length);
    }
}
