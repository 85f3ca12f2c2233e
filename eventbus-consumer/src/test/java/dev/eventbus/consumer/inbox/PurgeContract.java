package dev.eventbus.consumer.inbox;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.inbox.InboxSql.Aged;
import dev.eventbus.consumer.inbox.InboxSql.Purged;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.it.inbox.InboxDatabase;
import java.sql.Connection;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What is deleted, and what never is. */
public abstract class PurgeContract extends InboxDatabase {

    private static final Duration KEPT = Duration.ofDays(14);

    /** The database's time so many days ago. */
    protected abstract String daysAgo(int days);

    @ParameterizedTest
    @EnumSource
    void D_05_only_what_has_ended_is_purged_and_only_when_it_is_old_enough(Outcome outcome) throws Exception {
        marks("old", 1, outcome, 15);
        marks("young", 1, outcome, 13);
        boolean ends = outcome == Outcome.DONE || outcome == Outcome.DEAD || outcome == Outcome.SKIPPED;
        assertThat(purged(GROUP, null)).isEqualTo(ends ? 1 : 0);
        assertThat(outcome("old-0")).isEqualTo(ends ? "none" : outcome.name());
        assertThat(outcome("young-0")).isEqualTo(outcome.name());
    }

    @Test
    void a_batch_is_a_thousand_rows_and_other_groups_keep_theirs() throws Exception {
        marks("old", 1_001, Outcome.DONE, 20);
        execute("UPDATE eventbus_inbox SET consumer_group = " + bytes("other") + " WHERE event_id = " + bytes("old-7"));
        Purged first = inbox().purge(new Aged(GROUP, null, KEPT), Instant.EPOCH);
        assertThat(first.marks()).isEqualTo(1_000);
        assertThat(purged(GROUP, null)).isZero();
        assertThat(count("eventbus_inbox")).isEqualTo(1);
        assertThat(purged("other", null)).isEqualTo(1);
    }

    @Test
    void D_05_marks_of_topics_that_only_others_read_are_theirs_to_purge() throws Exception {
        marks("old", 4, Outcome.DONE, 20);
        execute("UPDATE eventbus_inbox SET topic = " + bytes("other.events") + " WHERE event_id = " + bytes("old-1"));
        execute("UPDATE eventbus_inbox SET topic = " + bytes("more.t") + " WHERE event_id = " + bytes("old-2"));
        assertThat(purged(GROUP, "t,ot.her")).isEqualTo(2);
        assertThat(outcome("old-1")).isEqualTo("DONE");
        assertThat(purged(GROUP, "t,other.events,more.t")).isEqualTo(2);
    }

    @Test
    void a_pass_takes_all_that_is_old_enough_behind_what_must_stay() throws Exception {
        marks("kept", 1_200, Outcome.DONE, 30);
        execute("UPDATE eventbus_inbox SET topic = " + bytes("other.events"));
        marks("old", 2_500, Outcome.DONE, 20);
        marks("young", 10, Outcome.DONE, 1);
        assertThat(purged(GROUP, "t")).isEqualTo(2_500);
        assertThat(count("eventbus_inbox")).isEqualTo(1_210);
    }

    @Test
    void a_pass_ends_after_a_batch_when_it_is_asked_to() throws Exception {
        marks("old", 2_500, Outcome.DONE, 20);
        assertThat(inbox().purge(new Aged(GROUP, "t", KEPT), () -> true)).isEqualTo(1_000);
    }

    @Test
    void a_forgotten_group_handles_its_events_again_and_no_other_does() throws Exception {
        Mark ofOther = new Mark("other", "evt-1", new byte[] {1}, "asset.events", 0, 7);
        marks("old", 2_100, Outcome.DONE, 0);
        inbox().run(mark("evt-1"), book("first"));
        inbox().run(ofOther, book("other"));
        inbox().decide(mark("dying"), Outcome.DYING);
        assertThat(inbox().forget(GROUP)).isEqualTo(2_101);
        assertThat(inbox().run(mark("evt-1"), book("again"))).isEqualTo(new MarkResult.Decided());
        assertThat(inbox().run(ofOther, book("never"))).isEqualTo(new MarkResult.Known(Outcome.DONE));
        assertThat(outcome("dying")).as("its letter is still to be sent").isEqualTo("DYING");
        assertThat(effects()).containsExactlyInAnyOrder("first", "other", "again");
    }

    @Test
    void a_dead_letter_that_waits_to_be_handled_again_keeps_its_mark() throws Exception {
        marks("dead", 2, Outcome.DEAD, 20);
        Mark other = mark("parked");
        ParkedEvent event = new ParkedEvent(
                "asset.events",
                new byte[] {1},
                "parked",
                0,
                7,
                new byte[] {1},
                new byte[] {0, 0, 0, 0},
                Instant.EPOCH,
                1,
                "X",
                null);
        assertThat(inbox().parking().park(other, event, ParkedKey.State.REDRIVE, null))
                .isEqualTo(new MarkResult.Decided());
        execute("UPDATE eventbus_parked_event SET event_id = " + bytes("dead-1"));
        assertThat(inbox().forget(GROUP)).isEqualTo(1);
        assertThat(outcome("dead-0")).isEqualTo("none");
        assertThat(outcome("dead-1")).isEqualTo("DEAD");
        assertThat(purged(GROUP, null)).isZero();
    }

    @Test
    void attempts_are_purged_when_they_are_old_enough_unless_their_event_is_dying() throws Exception {
        for (String id : List.of("old", "young", "dying")) {
            inbox().attempts().failed(mark(id), 2);
        }
        inbox().attempts().failed(new Mark("other", "old", new byte[] {1}, "asset.events", 0, 7), 2);
        inbox().decide(mark("dying"), Outcome.DYING);
        execute("UPDATE eventbus_attempt SET at = " + daysAgo(15) + " WHERE event_id <> " + bytes("young"));
        assertThat(inbox().attempts().purge(GROUP, KEPT)).isEqualTo(1);
        assertThat(count("eventbus_attempt WHERE event_id = " + bytes("old"))).isEqualTo(1);
        assertThat(count("eventbus_attempt")).isEqualTo(3);
    }

    @Test
    void what_a_group_noted_of_attempts_is_forgotten_with_it() throws Exception {
        inbox().attempts().failed(mark("failed"), 2);
        inbox().attempts().started(mark("started"));
        inbox().attempts().failed(mark("dying"), 4);
        inbox().decide(mark("dying"), Outcome.DYING);
        Mark ofOther = new Mark("other", "failed", new byte[] {1}, "asset.events", 0, 7);
        inbox().attempts().failed(ofOther, 3);
        inbox().forget(GROUP);
        assertThat(inbox().attempts().started(mark("failed"))).isEqualTo(AttemptStore.Attempts.NONE);
        assertThat(inbox().attempts().started(mark("started"))).isEqualTo(AttemptStore.Attempts.NONE);
        assertThat(inbox().attempts().started(mark("dying")).failures()).isEqualTo(4);
        assertThat(inbox().attempts().started(ofOther).failures()).isEqualTo(3);
    }

    /** Whoever never wants to lose an event says {@code retention.ms=9223372036854775807}; no database has a time so long ago. */
    @Test
    void what_is_kept_for_longer_than_there_are_times_is_kept_and_no_error() throws Exception {
        Duration ages = Duration.ofMillis(Long.MAX_VALUE);
        marks("old", 2, Outcome.DONE, 4_000);
        inbox().attempts().failed(mark("failed"), 2);
        assertThat(inbox().purge(new Aged(GROUP, "t", ages), () -> false)).isZero();
        assertThat(inbox().attempts().purge(GROUP, ages)).isZero();
        assertThat(count("eventbus_inbox")).isEqualTo(2);
        assertThat(count("eventbus_attempt")).isEqualTo(1);
    }

    /** One pass; topics with commas between. */
    protected final long purged(String group, @Nullable String topics) throws Exception {
        return inbox().purge(new Aged(group, topics, KEPT), () -> false);
    }

    protected final void marks(String prefix, int count, Outcome outcome, int daysAgo) throws Exception {
        try (Connection connection = dataSource().getConnection();
                var insert = connection.prepareStatement(
                        """
                        INSERT INTO eventbus_inbox
                          (consumer_group, event_id, outcome, payload_hash, topic, partition_no, record_offset, decided_at)
                        VALUES (%s, ?, '%s', %s, %s, 0, 0, %s)""".formatted(bytes(GROUP), outcome, hash(), bytes("t"), daysAgo(daysAgo)))) {
            for (int i = 0; i < count; i++) {
                if (idsAreBytes()) {
                    insert.setBytes(1, (prefix + "-" + i).getBytes(UTF_8));
                } else {
                    insert.setString(1, prefix + "-" + i);
                }
                insert.addBatch();
            }
            insert.executeBatch();
        }
    }

    /** Text as the columns of ids have it. */
    protected abstract String bytes(String text);

    protected boolean idsAreBytes() {
        return true;
    }

    protected String hash() {
        return "X'00'";
    }
}
