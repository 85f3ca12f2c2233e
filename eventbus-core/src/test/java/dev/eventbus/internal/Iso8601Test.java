package dev.eventbus.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.DateTimeException;
import java.time.Instant;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Everything is read, or refused, as {@link Instant#parse} does. */
class Iso8601Test {

    private static final long SEED = 20_261_126;
    private static final int ROUNDS = 50_000;
    private static final String CHARACTERS = "0123456789-:.TZtz+, ";

    private final Random random = new Random(SEED);

    @Test
    void any_instant_that_java_has_written_is_read_back() {
        for (int i = 0; i < ROUNDS; i++) {
            long second = random.nextInt(10) == 0
                    ? random.nextLong(Instant.MIN.getEpochSecond(), Instant.MAX.getEpochSecond())
                    : random.nextLong(-62_167_219_200L, 253_402_300_800L); // the years 0 to 9999
            int nano = random.nextInt(1_000_000_000);
            Instant instant = Instant.ofEpochSecond(second, random.nextBoolean() ? nano : nano / 1_000_000 * 1_000_000);

            assertThat(Iso8601.parse(instant.toString())).isEqualTo(instant);
        }
    }

    @Test
    void any_digits_in_the_usual_shape_are_an_instant_or_none() {
        for (int i = 0; i < ROUNDS; i++) {
            String fraction = "%09d".formatted(random.nextInt(1_000_000_000)).substring(random.nextInt(10));
            check("%04d-%02d-%02dT%02d:%02d:%02d%s%sZ"
                    .formatted(
                            random.nextInt(10_000),
                            random.nextInt(14),
                            random.nextInt(33),
                            random.nextInt(26),
                            random.nextInt(62),
                            random.nextInt(62),
                            fraction.isEmpty() && random.nextBoolean() ? "" : ".",
                            fraction));
        }
    }

    @Test
    void a_changed_character_is_read_or_refused_alike() {
        for (int i = 0; i < ROUNDS; i++) {
            StringBuilder text =
                    new StringBuilder(random.nextBoolean() ? "2025-01-15T10:35:00Z" : "2024-02-29T23:59:59.123456789Z");
            int at = random.nextInt(text.length());
            String character = String.valueOf(CHARACTERS.charAt(random.nextInt(CHARACTERS.length())));
            text.replace(at, at + random.nextInt(2), random.nextInt(3) == 0 ? "" : character);
            check(text.toString());
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "Z",
                "2025-01-15T10:35:00",
                "2025-01-15T10:35Z",
                "2025-01-15T10:35:00.Z",
                "2025-01-15T10:35:00.1234567890Z",
                "2025-01-15T24:00:00Z",
                "2025-01-15T24:00:01Z",
                "2016-12-31T23:59:60Z",
                "2025-06-15T10:35:60Z",
                "2025-01-15t10:35:00z",
                "2025-01-15T10:35:00+09:00",
                "2023-02-29T00:00:00Z",
                "1900-02-29T00:00:00Z",
                "2000-02-29T00:00:00Z",
                "0000-00-00T00:00:00Z",
                "+12025-01-15T10:35:00Z",
                "-0001-01-15T10:35:00Z",
                "\u0662025-01-15T10:35:00Z"
            })
    void what_is_unusual_is_read_or_refused_alike(String text) {
        check(text);
    }

    private static void check(String text) {
        Instant expected;
        try {
            expected = Instant.parse(text);
        } catch (DateTimeException e) {
            expected = null;
        }
        assertThat(parsed(text)).as(text).isEqualTo(expected);
    }

    private static @Nullable Instant parsed(String text) {
        try {
            return Iso8601.parse(text);
        } catch (DateTimeException e) {
            return null;
        }
    }
}
