package dev.eventbus.faults.check;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ExitsTest {

    private static final String LOG = "relay-0.log";

    private final Exits exits = new Exits();

    @Test
    void a_process_that_ends_by_itself_is_unexpected_whatever_its_code() {
        exits.byItself("relay-0", false, false, 0, LOG);
        exits.byItself("relay-0", false, false, 1, LOG);
        exits.byItself("relay-0", false, false, Exits.BY_EVENT, LOG); // no event is handled there
        assertThat(exits.findings(1).count(Violation.UNEXPECTED_EXIT)).isEqualTo(3);
        assertThat(exits.findings(0).total()).isEqualTo(3);
        assertThat(exits.findings(0).toString()).contains("relay-0 with code 1, see relay-0.log");
    }

    @Test
    void one_that_was_started_to_halt_may_end() {
        exits.byItself("relay-0", false, true, 137, LOG);
        assertThat(exits.findings(0).total()).isZero();
    }

    @Test
    void one_that_is_told_to_end_has_to_do_so_in_time_and_well() {
        exits.asTold("relay-0", true, 0, LOG);
        assertThat(exits.findings(0).total()).isZero();
        exits.asTold("relay-0", false, 137, LOG);
        exits.asTold("relay-1", true, 1, LOG);
        assertThat(exits.findings(0).count(Violation.UNEXPECTED_EXIT)).isEqualTo(2);
    }

    @Test
    void an_event_may_end_processes_until_it_is_convicted_and_no_longer() {
        for (int i = 0; i < Exits.MOST_BY_EVENT; i++) {
            exits.byItself("consumer-0", true, false, Exits.BY_EVENT, LOG);
        }
        assertThat(exits.findings(1).total()).isZero();
        assertThat(exits.byEvents()).isEqualTo(Exits.MOST_BY_EVENT);
        assertThat(exits.findings(0).count(Violation.UNEXPECTED_EXIT)).isEqualTo(1);
        exits.byItself("consumer-1", true, false, Exits.BY_EVENT, LOG);
        assertThat(exits.findings(1).count(Violation.UNEXPECTED_EXIT)).isEqualTo(1);
        assertThat(exits.findings(1).total()).isEqualTo(1);
        assertThat(exits.findings(2).total()).isZero();
    }
}
