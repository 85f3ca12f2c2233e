package dev.eventbus.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class ReportTest {

    private final StringWriter out = new StringWriter();

    @Test
    void columns_are_as_wide_as_their_widest_value_and_what_is_absent_is_a_dash() {
        new Report()
                .table(
                        "letters",
                        List.of("eventId", "redrives"),
                        List.of(List.of("evt-1", 0), Arrays.asList("a-longer-event", null)))
                .print(new PrintWriter(out), false);
        assertThat(out).hasToString("""
                letters: 2
                EVENT ID        REDRIVES
                evt-1           0
                a-longer-event  -
                """);
    }

    /** Event ids are anybody's text: what looks like mark-up, a line or an escape sequence is shown as it is, or escaped. */
    @Test
    void a_value_is_shown_as_it_is_whatever_it_looks_like() {
        List<List<String>> rows = List.of(
                List.of("@|x y|@"), List.of("@|red x|@"), List.of("a@|b|@"), List.of("%s%n"), List.of("a\nb\u001b[2J"));
        new Report().table("letters", List.of("id"), rows).print(new PrintWriter(out), false);
        assertThat(out).hasToString("""
                letters: 5
                ID
                @|x y|@
                @|red x|@
                a@|b|@
                %s%n
                a\\u000ab\\u001b[2J
                """);
    }
}
