package dev.eventbus.consumer.deadletter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.DecodeException;
import dev.eventbus.FailureReason;
import java.sql.SQLException;
import java.util.Objects;
import org.junit.jupiter.api.Test;

class FailureTextTest {

    private static final String CANARY = "alice@example.com";

    @Test
    void says_classes_positions_and_sqlstates_along_the_causes() {
        SQLException cause = new SQLException("duplicate key (" + CANARY + ")", "23505");
        assertThat(FailureText.of(new IllegalStateException("no room for " + CANARY, cause)))
                .matches("java.lang.IllegalStateException at dev.eventbus.consumer.deadletter.FailureTextTest"
                        + ".says_classes_positions_and_sqlstates_along_the_causes:\\d+,"
                        + " caused by java.sql.SQLException \\[23505] at dev.eventbus.consumer.deadletter.FailureTextTest"
                        + ".says_classes_positions_and_sqlstates_along_the_causes:\\d+");
    }

    @Test
    void no_text_of_an_exception_gets_through_wherever_it_stands() {
        RuntimeException failure = new RuntimeException(CANARY, new SQLException(CANARY, CANARY, new Error(CANARY)));
        failure.addSuppressed(new IllegalArgumentException(CANARY));
        assertThat(FailureText.of(failure))
                .doesNotContain(CANARY)
                .contains("RuntimeException", "SQLException", "Error");
    }

    @Test
    void what_the_decoder_says_is_kept_because_it_names_no_values() {
        DecodeException failure = new DecodeException(
                FailureReason.BAD_VALUE, "property newAmount is no number", "evt-1", "ASSET_UPDATED");
        assertThat(FailureText.of(failure)).isEqualTo("dev.eventbus.DecodeException: property newAmount is no number");
    }

    @Test
    void the_position_is_outside_of_the_jdk() {
        try {
            Objects.requireNonNull(null);
        } catch (NullPointerException e) {
            assertThat(FailureText.of(e)).contains("FailureTextTest.the_position_is_outside_of_the_jdk:");
        }
    }

    @Test
    void a_circle_of_causes_a_long_chain_and_a_bare_exception_end() {
        RuntimeException circle = new RuntimeException();
        circle.initCause(new IllegalStateException(circle));
        assertThat(FailureText.of(circle)).containsOnlyOnce("RuntimeException");

        Throwable chain = new Error();
        for (int i = 0; i < 10_000; i++) {
            chain = new IllegalStateException(chain);
        }
        assertThat(FailureText.of(chain)).hasSizeLessThanOrEqualTo(1024);

        RuntimeException bare = new RuntimeException();
        bare.setStackTrace(new StackTraceElement[0]);
        assertThat(FailureText.of(bare)).isEqualTo("java.lang.RuntimeException");
    }

    @Test
    void it_is_one_line_of_ascii() {
        DecodeException failure =
                new DecodeException(FailureReason.BAD_VALUE, "a\r\nb\u001b[31m\u202e\u00e9", null, null);
        assertThat(FailureText.of(failure)).isEqualTo("dev.eventbus.DecodeException: a??b?[31m??");
    }
}
