package dev.eventbus.faults.check;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.faults.check.History.Effect;
import dev.eventbus.faults.check.History.Letter;
import dev.eventbus.faults.check.History.Parked;
import dev.eventbus.faults.check.History.Position;
import dev.eventbus.faults.check.History.Progress;
import dev.eventbus.faults.check.History.Sent;
import org.junit.jupiter.api.Test;

class CheckerTest {

    private static final String EXHAUSTED = "ATTEMPTS_EXHAUSTED";

    private final Story story = new Story();

    private void assertOnly(Violation violation, int times) {
        Findings found = story.check();
        assertThat(found.count(violation)).as("%s", found).isEqualTo(times);
        assertThat(found.total()).as("%s", found).isEqualTo(times);
        assertThat(found.examples()).containsOnlyKeys(violation);
    }

    @Test
    void a_good_history_is_green_and_its_repeats_are_counted() {
        assertThat(story.check().total()).isZero();
        assertThat(story.history().drained()).isTrue();
        assertThat(new Repeats(story.history()).ofRecords()).isEqualTo(1);
        assertThat(new Repeats(story.history()).ofLetters()).isZero();
    }

    @Test
    void a_committed_event_that_is_neither_sent_nor_waiting_is_a_lost_write() {
        story.write("a4", "alice", 4);
        assertOnly(Violation.LOST_WRITE, 1);
    }

    @Test
    void a_committed_event_that_waits_in_the_outbox_is_not_lost_but_the_run_has_not_drained() {
        story.write("a4", "alice", 4);
        story.outbox.add("a4");
        assertThat(story.check().total()).isZero();
        assertThat(story.history().drained()).isFalse();
    }

    @Test
    void a_record_that_nobody_committed_is_a_phantom() {
        story.send(0, 4, "rolled back", "alice");
        assertOnly(Violation.PHANTOM, 1);
    }

    @Test
    void an_effect_of_what_nobody_committed_is_a_phantom() {
        story.effect("rolled back", "carol", 1, 1);
        assertOnly(Violation.PHANTOM, 1);
    }

    @Test
    void a_first_occurrence_before_that_of_an_earlier_event_is_nonmonotonic() {
        Story.alter(story.topic, 0, sent -> at(sent, 1));
        Story.alter(story.topic, 1, sent -> at(sent, 0));
        assertOnly(Violation.NONMONOTONIC_SEND, 1);
    }

    @Test
    void a_later_event_that_overtakes_is_nonmonotonic_although_it_is_repeated_in_order() {
        story.topic.subList(0, 4).clear();
        story.send(0, 0, "a1", "alice");
        story.send(0, 1, "a3", "alice");
        story.send(0, 2, "a2", "alice");
        story.send(0, 3, "a3", "alice");
        assertOnly(Violation.NONMONOTONIC_SEND, 1);
    }

    @Test
    void events_of_a_key_in_two_partitions_split_it() {
        story.send(1, 2, "a3", "alice");
        assertOnly(Violation.KEY_SPLIT, 1);
    }

    @Test
    void what_the_offset_has_passed_without_an_effect_is_a_lost_effect() {
        story.effects.remove(2);
        assertOnly(Violation.LOST_EFFECT, 1);
    }

    @Test
    void a_dead_letter_does_not_stand_for_the_effect_of_an_event_that_had_no_reason_to_fail() {
        story.effects.remove(2);
        story.letters.add(new Letter(new Position(0, 3), "a3", "bytes of a3", EXHAUSTED, 30));
        Findings found = story.check();
        assertThat(found.count(Violation.LOST_EFFECT)).isEqualTo(1);
        assertThat(found.count(Violation.DLQ_PHANTOM)).isEqualTo(1);
    }

    @Test
    void what_the_offset_has_not_passed_is_not_lost_but_the_run_has_not_drained() {
        story.effects.remove(2);
        story.offsets.put(0, new Progress(3, 4));
        assertThat(story.check().total()).isZero();
        assertThat(story.history().drained()).isFalse();
    }

    @Test
    void two_effects_of_an_event_are_a_double_effect() {
        story.effect("a3", "alice", 3, 4);
        assertOnly(Violation.DOUBLE_EFFECT, 1);
    }

    @Test
    void what_a_handler_wrote_before_it_failed_may_not_be_there_though_the_event_fails_always() {
        story.letters.clear();
        story.effects.add(new Effect("poison", "bob", 1, 0, "digest of poison", true, true, 15));
        assertOnly(Violation.FAILED_EFFECT, 1);
    }

    @Test
    void effects_of_a_key_in_another_order_than_its_commits_are_reordered() {
        Story.alter(story.effects, 0, effect -> nth(effect, 2));
        Story.alter(story.effects, 1, effect -> nth(effect, 1));
        assertOnly(Violation.REORDERED_EFFECT, 1);
    }

    @Test
    void two_effects_that_were_counted_the_same_did_not_wait_for_each_other_and_are_reordered() {
        Story.alter(story.effects, 1, effect -> nth(effect, 1));
        assertOnly(Violation.REORDERED_EFFECT, 1);
    }

    @Test
    void what_fails_always_and_has_no_dead_letter_is_missing() {
        story.letters.clear();
        assertOnly(Violation.DLQ_MISSING, 1);
    }

    @Test
    void what_fails_always_has_an_effect_in_place_of_a_letter_only_if_its_handler_was_healed() {
        story.letters.clear();
        story.effect("poison", "bob", 1, 0);
        assertOnly(Violation.DLQ_MISSING, 1);
        Story.alter(
                story.effects,
                story.effects.size() - 1,
                effect -> new Effect(effect.id(), effect.key(), 1, 0, effect.digest(), false, true, effect.atMillis()));
        assertThat(story.check().total()).isZero();
    }

    @Test
    void a_dead_letter_of_what_has_its_effect_is_a_phantom() {
        story.letters.add(new Letter(new Position(0, 3), "a3", "bytes of a3", EXHAUSTED, 30));
        assertOnly(Violation.DLQ_PHANTOM, 1);
    }

    @Test
    void what_has_its_dead_letter_and_its_effect_too_is_a_phantom_though_its_handler_was_mended_meanwhile() {
        story.effect("poison", "bob", 1, 0);
        assertOnly(Violation.DLQ_PHANTOM, 1);
    }

    @Test
    void a_dead_letter_of_what_ends_the_process_says_so() {
        story.poison = Ending.CONVICTION;
        assertOnly(Violation.WRONG_CONVICTION, 1);
        Story.alter(story.letters, 0, CheckerTest::convicted);
        assertThat(story.check().total()).isZero();
        story.letters.clear();
        assertOnly(Violation.DLQ_MISSING, 1);
    }

    @Test
    void a_dead_letter_of_what_only_fails_does_not_say_that_it_ends_the_process() {
        Story.alter(story.letters, 0, CheckerTest::convicted);
        assertOnly(Violation.WRONG_CONVICTION, 1);
    }

    private static Letter convicted(Letter letter) {
        return new Letter(letter.of(), letter.id(), letter.bytes(), "CRASHED_HANDLER", letter.atMillis());
    }

    @Test
    void an_event_that_was_parked_may_have_its_effect_beside_the_copy_of_its_letter() {
        story.poison = Ending.PARKED;
        assertThat(story.check().total()).as("given up").isZero();
        story.effect("poison", "bob", 1, 0);
        assertThat(story.check().total()).as("redriven").isZero();
    }

    @Test
    void one_that_a_person_has_given_up_needs_no_letter_any_more_and_no_other_is_given_up() {
        story.poison = Ending.PARKED;
        story.letters.clear();
        assertOnly(Violation.DLQ_MISSING, 1);
        story.givenUp.add("poison");
        assertThat(story.check().total()).isZero();
        story.poison = Ending.PARKED_THEN_EFFECT;
        assertOnly(Violation.LOST_EFFECT, 1);
    }

    @Test
    void one_that_a_redrive_mends_has_no_effect_only_as_long_as_it_waits() {
        story.poison = Ending.PARKED_THEN_EFFECT;
        assertOnly(Violation.LOST_EFFECT, 1);
        story.parked.add(new Parked("poison", true, true, "PARKED", false));
        assertThat(story.check().total()).isZero();
        assertThat(story.history().drained()).isFalse();
        story.parked.clear();
        story.effect("poison", "bob", 1, 0);
        assertThat(story.check().total()).isZero();
    }

    @Test
    void an_event_that_is_marked_as_parked_and_has_no_row_is_an_orphan() {
        story.parked.add(new Parked("poison", true, false, "", false));
        assertOnly(Violation.ORPHAN_PARKED, 1);
    }

    @Test
    void a_row_whose_key_is_not_parked_is_an_orphan() {
        story.parked.add(new Parked("poison", true, true, "", false));
        assertOnly(Violation.ORPHAN_PARKED, 1);
    }

    @Test
    void what_is_to_be_redriven_and_still_waits_at_the_end_is_an_orphan() {
        story.parked.add(new Parked("poison", true, true, "REDRIVE", false));
        assertOnly(Violation.ORPHAN_PARKED, 1);
        story.parked.set(0, new Parked("poison", true, true, "REDRIVE", true));
        assertThat(story.check().total()).as("it takes its time").isZero();
        assertThat(story.history().drained()).isFalse();
    }

    @Test
    void what_waits_behind_a_parked_event_is_not_lost_but_the_run_has_not_drained() {
        story.effects.remove(3); // of b2
        story.parked.add(new Parked("poison", true, true, "PARKED", false));
        story.parked.add(new Parked("b2", true, true, "PARKED", false));
        assertThat(story.check().total()).isZero();
        assertThat(story.history().drained()).isFalse();
    }

    @Test
    void two_events_of_a_key_that_were_given_one_number_are_nonmonotonic() {
        story.write("a3-too", "alice", 3);
        story.send(0, 4, "a3-too", "alice");
        story.offsets.put(0, new Progress(4, 5));
        assertOnly(Violation.NONMONOTONIC_SEND, 1);
    }

    @Test
    void a_dead_letter_of_other_bytes_is_altered() {
        Story.alter(story.letters, 0, letter -> new Letter(letter.of(), letter.id(), "other bytes", EXHAUSTED, 30));
        assertOnly(Violation.DLQ_ALTERED, 1);
    }

    @Test
    void a_dead_letter_that_names_another_record_is_altered() {
        Story.alter(
                story.letters, 0, letter -> new Letter(new Position(1, 1), letter.id(), letter.bytes(), EXHAUSTED, 30));
        assertOnly(Violation.DLQ_ALTERED, 1);
    }

    @Test
    void a_repeated_dead_letter_is_counted_and_no_violation() {
        story.letters.add(story.letters.get(0));
        assertThat(story.check().total()).isZero();
        assertThat(new Repeats(story.history()).ofLetters()).isEqualTo(1);
    }

    @Test
    void another_payload_on_the_topic_or_in_the_handler_is_corrupt() {
        Story.alter(story.topic, 3, sent -> new Sent(sent.at(), sent.id(), sent.key(), "other", sent.bytes()));
        Story.alter(
                story.effects,
                3,
                effect -> new Effect(
                        effect.id(), effect.key(), effect.number(), 1, "other", false, false, effect.atMillis()));
        assertOnly(Violation.CORRUPT, 2);
    }

    @Test
    void findings_of_several_sources_add_up() {
        Findings all = new Findings();
        story.letters.clear();
        all.addAll(story.check());
        all.addAll(story.check());
        all.add(Violation.STUCK_KEY, "alice");
        assertThat(all.count(Violation.DLQ_MISSING)).isEqualTo(2);
        assertThat(all.total()).isEqualTo(3);
        assertThat(all.examples().get(Violation.DLQ_MISSING)).hasSize(2);
    }

    private static Sent at(Sent sent, long offset) {
        return new Sent(
                new Position(sent.at().partition(), offset), sent.id(), sent.key(), sent.digest(), sent.bytes());
    }

    private static Effect nth(Effect effect, long nth) {
        return new Effect(
                effect.id(),
                effect.key(),
                effect.number(),
                nth,
                effect.digest(),
                effect.failed(),
                effect.healed(),
                effect.atMillis());
    }
}
