package dev.eventbus.faults.check;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.faults.check.History.Effect;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class LookTest {

    private final Story story = new Story();

    /** A look at the story at a moment when the group's offsets were these. */
    private Findings findings(Map<Integer, Long> committed) {
        Look look = new Look(committed, story::ending);
        story.topic.forEach(sent -> look.saw(sent.id(), sent.at()));
        Set<String> effected = story.effects.stream().map(Effect::id).collect(Collectors.toSet());
        List<String> withoutEffect =
                look.passed().stream().filter(id -> !effected.contains(id)).toList();
        return look.judge(withoutEffect);
    }

    @Test
    void an_offset_past_an_event_that_has_no_effect_yet_is_found() {
        story.effects.remove(1); // of a2, which stands at 1 and 2
        Findings found = findings(Map.of(0, 2L));
        assertThat(found.count(Violation.OFFSET_PAST_UNFINISHED)).isEqualTo(1);
        assertThat(found.total()).isEqualTo(1);
        assertThat(found.toString()).contains("a2 at ");
    }

    @Test
    void what_no_offset_has_passed_may_have_no_effect_yet() {
        story.effects.clear();
        assertThat(findings(Map.of(0, 0L)).total()).isZero();
        assertThat(findings(Map.of()).total()).isZero();
    }

    @Test
    void what_fails_always_has_a_dead_letter_and_no_effect() {
        assertThat(findings(Map.of(0, 4L, 1, 2L)).total()).isZero();
    }
}
