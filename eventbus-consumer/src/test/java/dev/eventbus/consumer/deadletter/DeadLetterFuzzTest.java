package dev.eventbus.consumer.deadletter;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.FailureReason;
import java.time.Instant;
import java.util.Arrays;
import java.util.Random;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.junit.jupiter.api.Test;

/** What is written is read; whatever somebody else writes, reading it says what it is or that it is none, and never fails. */
class DeadLetterFuzzTest {

    private static final long SEED = 20_261_126;
    private static final int ROUNDS = 20_000;
    private static final String IDS = "abcXYZ019-_.:/\u00e9\ud83d\ude80 ";
    private static final String PLAIN = "abcXYZ019-_.";

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
            DeadLetter letter = DeadLetter.of(record(headers));
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
            assertThat(DeadLetter.of(record(headers)).origin()).isNull();
        }
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
