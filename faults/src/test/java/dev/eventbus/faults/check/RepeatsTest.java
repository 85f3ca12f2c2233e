package dev.eventbus.faults.check;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.faults.check.Stalls.Window;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

/** In the story five events are committed within a second, one is sent twice, and one is dead-lettered. */
class RepeatsTest {

    private static final Duration LIFE = Duration.ofSeconds(10);
    private static final List<Window> ALWAYS = List.of(new Window(0, Window.NEVER));
    private static final int MANY = 1_000_000;

    private final Story story = new Story();

    private void repeat(int times) {
        for (int n = 0; n < times; n++) {
            story.send(0, 4 + n, "a1", "alice");
        }
    }

    private Findings judge(int ofRelays, int ofConsumers, List<Window> windows) {
        return new Repeats(story.history()).judge(ofRelays, ofConsumers, LIFE, windows);
    }

    @Test
    void more_records_again_than_the_faults_of_relays_explain_are_unbounded() {
        repeat(2_000);
        assertThat(new Repeats(story.history()).ofRecords()).isEqualTo(2_001);

        Findings found = judge(400, MANY, ALWAYS);
        assertThat(found.count(Violation.UNBOUNDED_REPEATS)).isEqualTo(1);
        assertThat(found.total()).isEqualTo(1);
        assertThat(found.toString()).contains("2001 records; 400 faults that reached relays explain 2000");
        assertThat(judge(401, MANY, ALWAYS).total()).isZero();
    }

    @Test
    void few_faults_explain_what_a_relay_has_in_its_hands_after_a_stall() {
        repeat(1_999);
        assertThat(judge(1, MANY, ALWAYS).total()).isZero();
    }

    @Test
    void what_is_repeated_though_no_fault_was_near_is_unbounded_but_for_a_handful() {
        repeat(199);
        assertThat(judge(MANY, MANY, List.of()).total()).isZero();

        story.send(0, 500, "a1", "alice");
        assertThat(judge(MANY, MANY, List.of()).count(Violation.UNBOUNDED_REPEATS))
                .isEqualTo(1);
    }

    @Test
    void a_fault_is_near_if_it_lasts_while_the_event_is_on_its_way() {
        repeat(500); // of an event that is committed at 10 ms
        assertThat(judge(MANY, MANY, List.of(new Window(0, 10))).total()).isZero();
        assertThat(judge(MANY, MANY, List.of(new Window(10_010, 20_000))).total())
                .isZero();
        assertThat(judge(MANY, MANY, List.of(new Window(0, 9))).total()).isEqualTo(1);
        assertThat(judge(MANY, MANY, List.of(new Window(10_011, 20_000))).total())
                .isEqualTo(1);
    }

    @Test
    void more_dead_letters_again_than_faults_of_consumers_are_unbounded() {
        story.letters.add(story.letters.get(0));
        story.letters.add(story.letters.get(0));
        assertThat(judge(MANY, 0, ALWAYS).count(Violation.UNBOUNDED_REPEATS)).isEqualTo(1);
        assertThat(judge(MANY, 1, ALWAYS).total()).isZero();
    }
}
