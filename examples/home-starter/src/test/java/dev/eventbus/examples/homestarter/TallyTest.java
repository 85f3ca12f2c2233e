package dev.eventbus.examples.homestarter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.examples.homestarter.Tally.Change;
import dev.eventbus.examples.homestarter.Tally.Drop;
import dev.eventbus.examples.homestarter.Tally.Rounds;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The story's last line, and with it its exit code, is seen red. */
class TallyTest {

    private static final Set<String> NONE = Set.of();
    private static final Map<String, Change> CHANGES =
            Map.of("a1", change("alice", 1), "a2", change("alice", 2), "b1", change("bob", 1));
    private static final Set<String> ALL = CHANGES.keySet();

    private static Change change(String user, long revision) {
        return new Change("calculator", user, revision, 0);
    }

    private static List<Drop> drops(String... ids) {
        return Arrays.stream(ids).map(id -> new Drop(id, 0)).toList();
    }

    private static Tally tally(Set<String> sent, Set<String> letters, List<Drop> first, List<Drop> again) {
        return Tally.of(CHANGES, sent, NONE, letters, List.of(new Rounds(first, again)));
    }

    @Test
    void all_that_is_handled_once_and_in_order_is_good() {
        Tally tally = tally(ALL, NONE, drops("b1", "a1", "a2"), drops());
        assertThat(tally.isGood()).isTrue();
        assertThat(tally)
                .hasToString(
                        "published 3 · handled 3 · dead-lettered 0 · redriven 0 · reprocessed 0 · lost 0 · doubled 0 · reordered 0");
    }

    @Test
    void what_is_in_no_topic_or_has_neither_effect_nor_letter_is_lost() {
        assertThat(tally(Set.of("a1", "a2"), NONE, drops("a1", "a2", "b1"), drops())
                        .lost())
                .isEqualTo(1);
        Tally without = tally(ALL, NONE, drops("a1", "a2"), drops());
        assertThat(without.lost()).isEqualTo(1);
        assertThat(without.isGood()).isFalse();
        assertThat(tally(ALL, Set.of("b1"), drops("a1", "a2"), drops()).isGood())
                .isTrue();
    }

    @Test
    void a_second_effect_is_doubled_but_for_a_group_that_was_set_back() {
        Tally twice = tally(ALL, NONE, drops("b1", "a1", "a1", "a2"), drops());
        assertThat(twice.doubled()).isEqualTo(1);
        assertThat(twice.isGood()).isFalse();
        Tally again = tally(ALL, NONE, drops("b1", "a1", "a2"), drops("a1", "a2", "b1"));
        assertThat(again.reprocessed()).isEqualTo(3);
        assertThat(again.isGood()).isTrue();
        assertThat(tally(ALL, NONE, drops("b1", "a1", "a2"), drops("a1", "a2", "b1", "b1"))
                        .doubled())
                .isEqualTo(1);
    }

    @Test
    void an_effect_behind_that_of_a_later_change_of_its_user_is_reordered_unless_it_was_dead_lettered() {
        Tally tally = tally(ALL, NONE, drops("a2", "b1", "a1"), drops());
        assertThat(tally.reordered()).isEqualTo(1);
        assertThat(tally.isGood()).isFalse();
        assertThat(tally(ALL, Set.of("a1"), drops("a2", "b1", "a1"), drops()).isGood())
                .isTrue();
        assertThat(tally(ALL, NONE, drops("a1", "a2", "b1"), drops("a2", "a1", "b1"))
                        .reordered())
                .isEqualTo(1);
    }
}
