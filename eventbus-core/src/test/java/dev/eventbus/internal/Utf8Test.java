package dev.eventbus.internal;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.Random;
import org.junit.jupiter.api.Test;

class Utf8Test {

    @Test
    void counts_the_bytes_that_java_writes() {
        Random random = new Random(1);
        for (int i = 0; i < 1_000; i++) {
            String text = random.ints(random.nextInt(50), 0, Character.MAX_CODE_POINT + 1)
                    .filter(c -> c < Character.MIN_SURROGATE || c > Character.MAX_SURROGATE)
                    .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                    .toString();

            assertThat(Utf8.length(text)).isEqualTo(text.getBytes(UTF_8).length);
            assertThat(Utf8.decode(text.getBytes(UTF_8))).isEqualTo(text);
        }
    }

    @Test
    void half_a_surrogate_pair_has_no_bytes() {
        assertThat(Utf8.length("a\ud83d")).isEqualTo(-1);
        assertThat(Utf8.length("\ude80a")).isEqualTo(-1);
        assertThat(Utf8.length("\ud83d\ud83d\ude80")).isEqualTo(-1);
        assertThat(Utf8.length("\ud83d\ude80")).isEqualTo(4);
    }

    @Test
    void finds_a_fault_wherever_it_stands() {
        byte[] long_ = "\u00e9\ud83d\ude80x".repeat(2_000).getBytes(UTF_8);
        assertThat(Utf8.isWellFormed(long_)).isTrue();
        for (int at : new int[] {0, 1, 1023, 1024, 2047, 4099, long_.length - 1}) {
            byte[] broken = long_.clone();
            broken[at] = (byte) 0xFF;
            assertThat(Utf8.isWellFormed(broken)).as("fault at %d", at).isFalse();
        }
        assertThat(Utf8.isWellFormed("a\u00e9".getBytes(UTF_8))).isTrue();
        assertThat(Utf8.isWellFormed(new byte[] {'a', (byte) 0xC3})).as("cut").isFalse();
        assertThat(Utf8.decode(new byte[] {'a', (byte) 0xC3})).isNull();
    }
}
