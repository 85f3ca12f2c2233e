package dev.eventbus.consumer.deadletter;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.eventbus.FailureReason;
import java.lang.management.ManagementFactory;
import java.time.Instant;
import java.util.Arrays;
import java.util.Random;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * What is written is read; whatever somebody else writes, reading it says what it is or that it is none, never fails, and allocates no
 * more than the size of the headers allows.
 */
@Timeout(120)
class DeadLetterFuzzTest {

    private static final long SEED = 20_261_126;
    private static final int ROUNDS = 20_000;
    private static final String IDS = "abcXYZ019-_.:/\u00e9\ud83d\ude80 ";
    private static final String PLAIN = "abcXYZ019-_.";

    /** All that reading a letter allocates, most of it garbage at once: this, and so much for each byte of its headers. */
    private static final long ALLOWED = 16 * 1024;

    private static final long ALLOWED_OF_A_BYTE = 16;

    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    private final Random random = new Random(SEED);

    @Test
    void every_origin_is_read_as_it_was_written() {
        for (int i = 0; i < ROUNDS; i++) {
            Origin origin = origin();
            assertThat(DeadLetterHeaders.read(DeadLetterHeaders.all(new RecordHeaders(), origin)))
                    .isEqualTo(origin);
        }
    }

    @Test
    void one_changed_header_makes_another_origin_or_none() {
        int read = 0;
        int refused = 0;
        for (int i = 0; i < ROUNDS; i++) {
            Headers headers = DeadLetterHeaders.all(new RecordHeaders(), origin());
            Header[] all = headers.toArray();
            Header victim = all[random.nextInt(all.length)];
            headers.remove(victim.key());
            byte[] changed = changed(victim.value());
            headers.add(victim.key(), changed);
            DeadLetter letter = read(record(headers));
            Origin origin = letter.origin();
            if (origin == null) {
                refused++;
            } else {
                read++;
                assertThat(DeadLetterHeaders.read(DeadLetterHeaders.all(new RecordHeaders(), origin)))
                        .as("what is read can be written")
                        .isEqualTo(origin);
            }
            assertThat(letter.headers().lastHeader(victim.key()).value()).isEqualTo(changed);
        }
        assertThat(read).isGreaterThan(ROUNDS / 20);
        assertThat(refused).isGreaterThan(ROUNDS / 20);
    }

    @Test
    void headers_of_random_bytes_are_no_origin() {
        Header[] all = DeadLetterHeaders.all(new RecordHeaders(), origin()).toArray();
        for (int i = 0; i < ROUNDS; i++) {
            Headers headers = new RecordHeaders();
            for (Header header : all) {
                byte[] value = new byte[random.nextInt(60)];
                random.nextBytes(value);
                headers.add(header.key(), random.nextInt(20) == 0 ? null : value);
            }
            assertThat(read(record(headers)).origin()).isNull();
        }
    }

    @Test
    void headers_of_a_redrive_are_read_as_they_were_written_and_any_others_make_no_count_out_of_bounds() {
        for (int i = 0; i < ROUNDS; i++) {
            String group = text(PLAIN, 1, 200);
            int redrives = 1 + random.nextInt(RedriveHeaders.MOST_REDRIVES);
            Headers written = RedriveHeaders.put(new RecordHeaders(), group, redrives);
            assertThat(RedriveHeaders.isFor(written, group)).isTrue();
            assertThat(RedriveHeaders.isForAnother(written, group + "x")).isTrue();
            assertThat(RedriveHeaders.redrives(written)).isEqualTo(redrives);
            Headers other = new RecordHeaders();
            for (Header header : written) {
                other.add(header.key(), random.nextInt(20) == 0 ? null : changed(header.value()));
            }
            assertThat(RedriveHeaders.redrives(other)).isBetween(0, RedriveHeaders.MOST_REDRIVES);
            assertThat(RedriveHeaders.isFor(other, group) && RedriveHeaders.isForAnother(other, group))
                    .isFalse();
            assertThat(RedriveHeaders.original(other)).isEmpty();
        }
    }

    @Test
    void headers_of_any_length_are_read_in_proportion() {
        Header[] all = DeadLetterHeaders.all(new RecordHeaders(), origin()).toArray();
        for (int length : new int[] {1_000, 30_000, 900_000}) {
            for (Header victim : all) {
                for (String piece : new String[] {"9", "a", "\u00e9", "\0", "{}"}) {
                    Headers headers = new RecordHeaders(all).remove(victim.key());
                    headers.add(
                            victim.key(), piece.repeat(length / piece.length()).getBytes(UTF_8));
                    read(record(headers));
                }
            }
        }
        Headers many = new RecordHeaders(all);
        for (int i = 0; i < 10_000; i++) {
            many.add(all[i % all.length].key(), all[i % all.length].value());
        }
        read(record(many));
    }

    /** Reads it twice if need be: what is loaded for a letter the first time is no cost of that letter. */
    private static DeadLetter read(ConsumerRecord<byte[], byte[]> record) {
        long size = 0;
        for (Header header : record.headers()) {
            size += header.key().length() + (header.value() == null ? 0 : header.value().length);
        }
        long allowed = ALLOWED + ALLOWED_OF_A_BYTE * size;
        long before = THREADS.getCurrentThreadAllocatedBytes();
        DeadLetter letter = DeadLetter.of(record);
        long allocated = THREADS.getCurrentThreadAllocatedBytes() - before;
        if (allocated > allowed) {
            before = THREADS.getCurrentThreadAllocatedBytes();
            letter = DeadLetter.of(record);
            allocated = THREADS.getCurrentThreadAllocatedBytes() - before;
        }
        assertThat(allocated).as("bytes for headers of %d", size).isBetween(1L, allowed);
        return letter;
    }

    private static ConsumerRecord<byte[], byte[]> record(Headers headers) {
        ConsumerRecord<byte[], byte[]> record =
                new ConsumerRecord<>("dlq.events", 0, 7, "key".getBytes(UTF_8), "{}".getBytes(UTF_8));
        headers.forEach(record.headers()::add);
        return record;
    }

    /** One byte other, one less, one more, none, or the number after it. */
    private byte[] changed(byte[] value) {
        int at = value.length == 0 ? 0 : random.nextInt(value.length);
        switch (value.length == 0 ? 2 : random.nextInt(4)) {
            case 0 -> {
                byte[] flipped = value.clone();
                flipped[at] ^= (byte) (1 << random.nextInt(8));
                return flipped;
            }
            case 1 -> {
                return Arrays.copyOf(value, at);
            }
            case 2 -> {
                byte[] longer = Arrays.copyOf(value, value.length + 1);
                longer[value.length] = (byte) random.nextInt(256);
                return longer;
            }
            default -> {
                byte[] other = new byte[value.length];
                random.nextBytes(other);
                return other;
            }
        }
    }

    private Origin origin() {
        FailureReason[] reasons = FailureReason.values();
        return new Origin(
                text(PLAIN, 1, 200) + "x",
                random.nextInt(Integer.MAX_VALUE),
                random.nextLong() & Long.MAX_VALUE,
                time(),
                text(PLAIN, 1, 200),
                random.nextInt(10) == 0 ? null : text(IDS, 1, 60),
                random.nextInt(Integer.MAX_VALUE),
                time(),
                time(),
                reasons[random.nextInt(reasons.length)],
                random.nextInt(10) == 0 ? null : text(PLAIN, 0, 255),
                random.nextInt(10) == 0 ? null : text(PLAIN, 0, 1_000),
                random.nextInt(100));
    }

    private Instant time() {
        return Instant.ofEpochMilli(random.nextLong());
    }

    private String text(String of, int least, int most) {
        int[] letters = of.codePoints().toArray();
        return random.ints(least + random.nextInt(most - least + 1), 0, letters.length)
                .map(i -> letters[i])
                .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                .toString();
    }
}
