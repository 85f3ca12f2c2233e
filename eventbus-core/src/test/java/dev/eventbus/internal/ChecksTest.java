package dev.eventbus.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class ChecksTest {

    @Test
    void lets_good_values_through() {
        assertThat(Checks.atLeast("n", 1, 1)).isEqualTo(1);
        assertThat(Checks.atLeast("n", 1L << 40, 1L)).isEqualTo(1L << 40);
        assertThat(Checks.inRange("n", 3, 1, 3)).isEqualTo(3);
        assertThat(Checks.positive("d", Duration.ofNanos(1))).isEqualTo(Duration.ofNanos(1));
        assertThat(Checks.notBlank("s", "x")).isEqualTo("x");
        assertThat(Checks.topicName("t", "cdc.scan.scan_tasks-1")).isEqualTo("cdc.scan.scan_tasks-1");
    }

    @Test
    void refuses_with_name_rule_and_value() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Checks.atLeast("shards", 0, 1))
                .withMessage("shards must be >= 1, was 0");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Checks.atLeast("bytes", 0L, 1L))
                .withMessage("bytes must be >= 1, was 0");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Checks.inRange("port", 65536, 1, 65535))
                .withMessage("port must be 1 to 65535, was 65536");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Checks.positive("lease", Duration.ZERO))
                .withMessage("lease must be > 0, was PT0S");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Checks.positive("lease", Duration.ofSeconds(-1)))
                .withMessageContaining("PT-1S");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Checks.notBlank("group", " \t"))
                .withMessage("group must not be blank");
    }

    @Test
    void knows_kafkas_topic_names() {
        assertThat(Checks.topicName("t", "a".repeat(249))).hasSize(249);
        for (String bad : new String[] {"", ".", "..", "a".repeat(250), "a b", "a/b", "\u00e4", "a\n"}) {
            assertThatIllegalArgumentException()
                    .as(bad)
                    .isThrownBy(() -> Checks.topicName("t", bad))
                    .withMessageMatching("t must be a Kafka topic name [ -~]*");
        }
    }

    @Test
    void printable_text_is_one_short_line_of_ascii() {
        assertThat(Checks.printable("plain")).isEqualTo("plain");
        assertThat(Checks.printable("a\r\nb\u001b[31m\u202e\u00e9"))
                .isEqualTo("a\\u000d\\u000ab\\u001b[31m\\u202e\\u00e9");
        assertThat(Checks.printable("x".repeat(1_000_000))).hasSize(128);
        assertThat(Checks.printable("\u00e9".repeat(1_000))).hasSizeLessThanOrEqualTo(134);
    }
}
