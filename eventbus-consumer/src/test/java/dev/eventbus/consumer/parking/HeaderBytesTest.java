package dev.eventbus.consumer.parking;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.Random;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.junit.jupiter.api.Test;

class HeaderBytesTest {

    @Test
    void what_was_encoded_is_decoded_in_order_with_repeats_and_absent_values() {
        Random random = new Random(7);
        for (int run = 0; run < 1_000; run++) {
            RecordHeaders headers = new RecordHeaders();
            for (int i = random.nextInt(6); i > 0; i--) {
                byte[] value = new byte[random.nextInt(40)];
                random.nextBytes(value);
                headers.add(
                        random.nextInt(4) == 0 ? "é" : "name" + random.nextInt(3),
                        random.nextInt(4) == 0 ? null : value);
            }
            Headers decoded = HeaderBytes.decode(HeaderBytes.encode(headers));
            assertThat(decoded.toArray()).isEqualTo(headers.toArray());
        }
    }

    @Test
    void bytes_that_are_no_headers_are_refused() {
        byte[] one = HeaderBytes.encode(new RecordHeaders().add("a", new byte[] {1, 2, 3}));
        for (int length = 0; length < one.length; length++) {
            byte[] cut = Arrays.copyOf(one, length);
            assertThatThrownBy(() -> HeaderBytes.decode(cut)).isInstanceOf(IllegalArgumentException.class);
        }
        assertThatThrownBy(() -> HeaderBytes.decode(Arrays.copyOf(one, one.length + 1)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> HeaderBytes.decode(new byte[] {0, 0, 0, 1, 127, 127, 127, 127}))
                .isInstanceOf(IllegalArgumentException.class);
    }

    /** No length that stands there makes it take memory that the bytes do not have. */
    @Test
    void changed_bytes_are_other_headers_or_refused() {
        Random random = new Random(11);
        Headers headers = new RecordHeaders().add("id", new byte[] {1, 2, 3}).add("tenant", null).add("x", new byte[0]);
        byte[] good = HeaderBytes.encode(headers);
        int refused = 0;
        for (int run = 0; run < 20_000; run++) {
            byte[] changed = good.clone();
            for (int i = 0; i <= random.nextInt(3); i++) {
                changed[random.nextInt(changed.length)] ^= (byte) (1 << random.nextInt(8));
            }
            try {
                Headers decoded = HeaderBytes.decode(changed);
                assertThat(HeaderBytes.decode(HeaderBytes.encode(decoded)).toArray()).isEqualTo(decoded.toArray());
            } catch (IllegalArgumentException e) {
                refused++;
            }
        }
        assertThat(refused).isBetween(5_000, 19_000);
    }
}
