package dev.eventbus.testkit.guarantees;

import static dev.eventbus.testkit.guarantees.Guarantee.allHandled;
import static dev.eventbus.testkit.guarantees.Guarantee.effectivelyOnce;
import static dev.eventbus.testkit.guarantees.Guarantee.noLoss;
import static dev.eventbus.testkit.guarantees.Guarantee.parkedKeyBlocks;
import static dev.eventbus.testkit.guarantees.Guarantee.perKeyOrder;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Each guarantee on histories that keep it, and on those that do not. */
class GuaranteeTest {

    private final History history = new History();

    @Test
    void a_history_that_keeps_all_has_no_violations() {
        published("bob1", "alice1", "bob2", "carol1", "carol2");
        handled("alice1", "bob1", "bob2");
        history.deadLettered("carol", "carol1");
        handled("carol2");

        assertThat(history.violations(noLoss(), perKeyOrder(), effectivelyOnce(), parkedKeyBlocks()))
                .isEmpty();
        assertThat(history.entries()).hasSize(10);
        assertThat(history.entries().get(8)).hasToString("DEAD_LETTERED carol1");
    }

    @Test
    void an_event_that_ended_nowhere_is_lost() {
        published("bob1", "bob2", "bob3");
        handled("bob1");
        history.parked("bob", "bob3");

        assertThat(history.violations(noLoss()))
                .containsExactly(new Violation(
                        "noLoss", "bob2", "was published, and neither handled nor dead-lettered nor parked"));
    }

    @Test
    void an_event_handled_after_a_later_one_of_its_key_is_out_of_order() {
        published("bob1", "alice1", "bob2", "bob3");
        handled("bob1", "bob3", "bob2", "alice1");

        assertThat(history.violations(perKeyOrder()))
                .containsExactly(new Violation(
                        "perKeyOrder", "bob2", "was handled after bob3, which was published later with the same key"));
    }

    @Test
    void repeats_are_not_out_of_order_and_neither_is_what_was_set_aside_before() {
        published("bob1", "bob2", "bob3");
        handled("bob1");
        history.deadLettered("bob", "bob2");
        handled("bob3", "bob1", "bob2");

        assertThat(history.violations(perKeyOrder())).isEmpty();
    }

    @Test
    void order_does_not_depend_on_when_the_test_tells_that_an_event_was_published() {
        handled("bob2", "bob1");
        published("bob1", "bob2");

        assertThat(history.violations(perKeyOrder()))
                .extracting(Violation::eventId)
                .containsExactly("bob1");
    }

    @Test
    void a_second_effect_and_one_of_what_was_never_published_are_told() {
        published("bob1");
        handled("bob1", "bob1", "bob9");

        assertThat(history.violations(effectivelyOnce()))
                .containsExactly(
                        new Violation("effectivelyOnce", "bob1", "has its effect once more"),
                        new Violation("effectivelyOnce", "bob9", "has an effect and was not published"));
    }

    @Test
    void an_event_that_passes_a_parked_one_of_its_key_is_told_and_others_may_go_on() {
        published("bob1", "bob2", "alice1");
        history.parked("bob", "bob1");
        handled("alice1", "bob2");

        assertThat(history.violations(parkedKeyBlocks()))
                .containsExactly(
                        new Violation("parkedKeyBlocks", "bob2", "was handled while its key was parked behind bob1"));
    }

    @Test
    void after_the_parked_event_was_handled_its_key_goes_on() {
        published("bob1", "bob2");
        history.parked("bob", "bob1");
        history.parked("bob", "bob2");
        handled("bob1", "bob2");

        assertThat(history.violations(parkedKeyBlocks(), perKeyOrder(), noLoss()))
                .isEmpty();
    }

    @Test
    void after_a_redrive_what_was_set_aside_must_have_been_handled_and_in_order() {
        published("bob1", "bob2", "bob3");
        history.parked("bob", "bob1");
        assertThat(history.violations(noLoss()).size()).isEqualTo(2);
        assertThat(history.violations(allHandled()))
                .extracting(Violation::eventId)
                .containsExactly("bob1", "bob2", "bob3");
        history.parked("bob", "bob2");
        history.parked("bob", "bob3");
        handled("bob1", "bob3", "bob2");

        assertThat(history.violations(noLoss(), allHandled())).isEmpty();
        assertThat(history.violations(perKeyOrder()))
                .extracting(Violation::eventId)
                .containsExactly("bob2");
        assertThat(history.violations(parkedKeyBlocks()))
                .extracting(Violation::eventId)
                .containsExactly("bob3");
    }

    @Test
    void a_live_event_that_passes_the_second_of_two_parked_ones_is_told() {
        published("bob1", "bob2", "bob3");
        history.parked("bob", "bob1");
        history.parked("bob", "bob2");
        handled("bob1", "bob3", "bob2");

        assertThat(history.violations(parkedKeyBlocks()))
                .extracting(Violation::eventId)
                .containsExactly("bob3");
    }

    @Test
    void an_event_that_is_handled_under_another_key_is_told() {
        published("bob1", "bob2");
        history.handled("b", "bob2");
        handled("bob1");

        assertThat(history.violations(perKeyOrder()))
                .containsExactly(new Violation("perKeyOrder", "bob2", "was handled under another key"));
    }

    @Test
    void a_check_that_cannot_fail_is_refused() {
        handled("bob1");
        assertThatThrownBy(() -> history.violations(noLoss())).isInstanceOf(IllegalArgumentException.class);
        published("bob1");
        assertThatThrownBy(history::violations).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void a_service_adds_guarantees_of_its_own_and_a_violation_names_no_key() {
        published("bob1");
        Guarantee nothingForBob = entries -> entries.stream()
                .filter(entry -> entry.key().equals("bob"))
                .map(entry -> new Violation("nothingForBob", entry.eventId(), "is there"))
                .toList();

        List<Violation> violations = history.violations(nothingForBob, noLoss());
        assertThat(violations).extracting(Violation::guarantee).containsExactly("nothingForBob", "noLoss");
        assertThat(violations.get(0)).hasToString("nothingForBob: event bob1 is there");
    }

    /** The key is the id without its last letter. */
    private void published(String... ids) {
        for (String id : ids) {
            history.published(keyOf(id), id);
        }
    }

    private void handled(String... ids) {
        for (String id : ids) {
            history.handled(keyOf(id), id);
        }
    }

    private static String keyOf(String id) {
        return id.substring(0, id.length() - 1);
    }
}
