package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.AttemptStore;
import dev.eventbus.consumer.inbox.AttemptStore.Attempts;
import dev.eventbus.consumer.inbox.Mark;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;

/** What is noted of events that have not ended, and that a crash at any moment leaves it as it was or as it is. */
public abstract class AttemptContract extends InboxDatabase {

    private static final Attempts NOTHING = new Attempts(0, 0);

    private AttemptStore attempts() {
        return inbox().attempts();
    }

    @Test
    void a_start_beside_others_is_noted_once_and_says_what_was_noted_before() throws Exception {
        assertThat(attempts().started(mark("evt-1"))).isEqualTo(NOTHING);
        assertThat(attempts().started(mark("evt-1"))).isEqualTo(new Attempts(0, 1));
        assertThat(attempts().started(mark("evt-1")))
                .as("a suspect is not counted on")
                .isEqualTo(new Attempts(0, 1));
        assertThat(count("eventbus_attempt")).isEqualTo(1);
    }

    @Test
    void K_16_starts_alone_are_counted_up_to_the_most_and_no_further() throws Exception {
        attempts().started(mark("evt-1"));
        for (int before = 1; before < 4; before++) {
            assertThat(attempts().startedAlone(mark("evt-1"), 4)).isEqualTo(new Attempts(0, before));
        }
        assertThat(attempts().startedAlone(mark("evt-1"), 4)).isEqualTo(new Attempts(0, 4));
        assertThat(attempts().startedAlone(mark("evt-1"), 4)).isEqualTo(new Attempts(0, 4));
    }

    @Test
    void a_handler_that_comes_back_takes_one_start_off_and_its_failures_stay() throws Exception {
        attempts().startedAlone(mark("evt-1"), 9);
        attempts().startedAlone(mark("evt-1"), 9);
        attempts().failed(mark("evt-1"), 1);
        assertThat(attempts().startedAlone(mark("evt-1"), 9)).isEqualTo(new Attempts(1, 1));
        attempts().failed(mark("evt-1"), 2);
        attempts().failed(mark("evt-1"), 3);
        attempts().failed(mark("evt-1"), 3);
        assertThat(attempts().started(mark("evt-1"))).as("never less than none").isEqualTo(new Attempts(3, 0));
    }

    @Test
    void T_04_failures_of_an_event_that_was_never_started_under_watch_are_kept() throws Exception {
        attempts().failed(mark("evt-1"), 2);
        assertThat(attempts().started(mark("evt-1"))).isEqualTo(new Attempts(2, 0));
        assertThat(attempts().started(mark("evt-1"))).isEqualTo(new Attempts(2, 1));
    }

    @Test
    void what_has_ended_is_forgotten_and_nothing_else_is() throws Exception {
        Mark ofAnotherGroup = new Mark("other", "evt-1", new byte[] {1}, "asset.events", 0, 7);
        attempts().failed(mark("evt-1"), 1);
        attempts().failed(mark("evt-2"), 2);
        attempts().failed(ofAnotherGroup, 3);
        attempts().ended(mark("evt-1"));
        attempts().ended(mark("never seen"));
        assertThat(attempts().started(mark("evt-1"))).isEqualTo(NOTHING);
        assertThat(attempts().started(mark("evt-2"))).isEqualTo(new Attempts(2, 0));
        assertThat(attempts().started(ofAnotherGroup)).isEqualTo(new Attempts(3, 0));
    }

    @Test
    void ids_that_look_alike_are_different_events() throws Exception {
        List<String> lookAlikes = List.of(
                "evt-A",
                "EVT-a",
                "evt-A ",
                "evt-a",
                "evt-\u00c1",
                "evt-A\u0301",
                "x".repeat(128),
                "x".repeat(127) + "y");
        for (int i = 0; i < lookAlikes.size(); i++) {
            attempts().failed(mark(lookAlikes.get(i)), i + 1);
        }
        assertThat(count("eventbus_attempt")).isEqualTo(lookAlikes.size());
        for (int i = 0; i < lookAlikes.size(); i++) {
            assertThat(attempts().started(mark(lookAlikes.get(i))))
                    .as(lookAlikes.get(i))
                    .isEqualTo(new Attempts(i + 1, 0));
        }
    }

    @Test
    void a_note_that_was_not_committed_was_never_made() throws Exception {
        attempts().failed(mark("evt-1"), 1);
        AtomicBoolean dying = new AtomicBoolean(true);
        AttemptStore dies = inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
                    if (method.equals("commit") && dying.get()) {
                        real.rollback();
                        throw new SQLException("the connection is gone", "08006");
                    }
                    return rest.call();
                }))
                .attempts();
        assertThatThrownBy(() -> dies.started(mark("evt-1"))).isInstanceOf(SQLException.class);
        assertThatThrownBy(() -> dies.ended(mark("evt-1"))).isInstanceOf(SQLException.class);
        assertThatThrownBy(() -> dies.startedAlone(mark("evt-2"), 6)).isInstanceOf(SQLException.class);
        assertThat(count("eventbus_attempt")).isEqualTo(1);
        dying.set(false);
        assertThat(dies.started(mark("evt-1"))).isEqualTo(new Attempts(1, 0));
    }

    @Test
    void owners_of_different_events_do_not_disturb_each_other() throws Exception {
        List<Future<?>> owners = new ArrayList<>();
        for (int owner = 0; owner < 4; owner++) {
            String own = "evt-" + owner + "-";
            owners.add(others().submit(() -> {
                for (int event = 0; event < 10; event++) {
                    attempts().started(mark(own + event));
                    attempts().failed(mark(own + event), 1);
                    if (event % 2 == 0) {
                        attempts().ended(mark(own + event));
                    }
                }
                return null;
            }));
        }
        for (Future<?> owner : owners) {
            owner.get();
        }
        assertThat(count("eventbus_attempt")).isEqualTo(4 * 5);
        assertThat(count("eventbus_attempt WHERE failures = 1 AND starts = 0")).isEqualTo(4 * 5);
    }
}
