package dev.eventbus;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.time.Duration;
import java.util.function.IntFunction;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The largest value that is read takes no longer than its size explains, whatever is in it. */
class EventDecoderTimeTest extends DecoderFixture {

    /** Of the processor, which nobody else on the machine makes longer. The dearest that was found takes a fifth of it: names of one hash. */
    private static final Duration ALLOWED = Duration.ofMillis(500);

    private static final int TRIES = 3;
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

    /** What a value is full of: so many pieces as its size allows, and the limit of what each of them has. */
    enum Full {
        OF_BRACKETS("[", n -> "[".repeat(60) + "]".repeat(60) + ",", "1]", most(120), null),
        OF_BRACKETS_THAT_DO_NOT_END("", n -> "[", "", most(0), FailureReason.TOO_DEEP),
        OF_DEEP_OBJECTS("[", n -> "{\"a\":".repeat(60) + "1" + "}".repeat(60) + ",", "1]", most(181), null),
        OF_TOKENS("[", n -> "1,", "1]", most(1), null),
        OF_OBJECTS("[", n -> "{},", "1]", most(2), null),
        OF_NAMES("{", n -> "\"k%d\":1,".formatted(n), "\"k\":1}", most(2), null),
        OF_NAMES_WITH_ONE_HASH("{", n -> "\"%s\":1,".formatted(ofOneHash(n)), "\"k\":1}", most(2), null),
        OF_ONE_NAME("{", n -> "\"k\":1,", "\"k\":1}", most(2), null),
        OF_LONG_NAMES("{", n -> "\"%s%d\":1,".formatted("n".repeat(250), n), "\"k\":1}", most(2), null),
        OF_LONG_NUMBERS("[", n -> "9".repeat(64) + ",", "1]", most(1), null),
        OF_SMALL_NUMBERS("[", n -> "0." + "0".repeat(57) + "1e-90,", "1]", most(1), null),
        OF_LARGE_NUMBERS("[", n -> "9".repeat(59) + "e-300,", "1]", most(1), null),
        OF_ONE_NUMBER("", n -> "9", "", most(0), FailureReason.BAD_VALUE),
        OF_ONE_EXPONENT("1e", n -> "9", "", most(0), FailureReason.BAD_VALUE),
        OF_ESCAPES("\"", n -> "\\u00e9", "\"", most(0), null),
        OF_SHORT_TEXTS("[", n -> "\"\\n\\u00e9\",", "1]", most(1), null),
        OF_LONG_TEXTS("[", n -> "\"%s\",".formatted("t".repeat(200_000)), "1]", most(1), null),
        OF_LETTERS("\"", n -> "\u4e2d", "\"", JsonDocument.MAX_STRING_LENGTH, null),
        OF_SPACES("", n -> " ", "1", most(0), null);

        private final String before;
        private final IntFunction<String> piece;
        private final String after;
        private final int mostPieces;
        private final @Nullable FailureReason refusedAs;

        Full(
                String before,
                IntFunction<String> piece,
                String after,
                int mostPieces,
                @Nullable FailureReason refusedAs) {
            this.before = before;
            this.piece = piece;
            this.after = after;
            this.mostPieces = mostPieces;
            this.refusedAs = refusedAs;
        }

        private static int most(int tokensOfEach) {
            return tokensOfEach == 0 ? Integer.MAX_VALUE : (JsonDocument.MAX_TOKENS - 50) / tokensOfEach;
        }

        /** Two to the 15th different ones. */
        private static String ofOneHash(int n) {
            StringBuilder name = new StringBuilder();
            for (int bit = 0; bit < 15; bit++) {
                name.append((n >> bit & 1) == 0 ? "Aa" : "BB");
            }
            return name.toString();
        }

        ConsumerRecord<byte[], byte[]> as(String property) {
            String head = thing("\"count\":1,\"%s\":".formatted(property));
            StringBuilder value =
                    new StringBuilder(head).deleteCharAt(head.length() - 1).append(before);
            int room = EventLimits.MAX_READ_BYTES - value.length() - after.length() - 1;
            for (int n = 0; n < mostPieces; n++) {
                String next = piece.apply(n);
                room -= next.getBytes(UTF_8).length;
                if (room < 0) {
                    break;
                }
                value.append(next);
            }
            ConsumerRecord<byte[], byte[]> record =
                    Samples.record("u", value.append(after).append('}').toString());
            record.headers().add(EventHeaders.EVENT_TYPE, "THING".getBytes(UTF_8));
            return record;
        }
    }

    @ParameterizedTest
    @EnumSource
    void what_is_read_takes_time_by_its_size_whatever_is_in_it(Full value) {
        for (String property : new String[] {"any", "unknown"}) {
            ConsumerRecord<byte[], byte[]> record = value.as(property);
            assertThat(reasonOf(record)).as(property).isEqualTo(value.refusedAs);
            assertThat(bestOf(record)).as(property).isLessThan(ALLOWED);
        }
    }

    private Duration bestOf(ConsumerRecord<byte[], byte[]> record) {
        long best = Long.MAX_VALUE;
        for (int i = 0; i < TRIES; i++) {
            long begun = THREADS.getCurrentThreadCpuTime();
            reasonOf(record);
            best = Math.min(best, THREADS.getCurrentThreadCpuTime() - begun);
        }
        return Duration.ofNanos(best);
    }
}
