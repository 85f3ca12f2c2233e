package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.MarkResult.Decided;
import dev.eventbus.consumer.inbox.MarkResult.HeldElsewhere;
import dev.eventbus.consumer.inbox.Outcome;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Where a mark that stood in the way can be deleted before it is read; on MariaDB who met it has locked it. */
public abstract class VanishingMarkContract extends InboxDatabase {

    @Test
    void a_row_that_is_gone_when_it_is_read_makes_it_try_again() throws Exception {
        inbox().decide(mark("evt-1"), Outcome.SKIPPED);
        JdbcInbox purgedMeanwhile = inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            if (method.equals("prepareStatement")
                    && String.valueOf(arguments[0]).startsWith("SELECT outcome")) {
                execute("DELETE FROM eventbus_inbox");
            }
            return rest.call();
        }));
        assertThat(purgedMeanwhile.run(mark("evt-1"), book("evt-1"))).isEqualTo(new Decided());
        assertThat(effects()).containsExactly("evt-1");
    }

    @Test
    void a_row_that_comes_and_goes_is_left_for_later() throws Exception {
        AtomicInteger comings = new AtomicInteger();
        JdbcInbox flickering = inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            if (method.equals("setAutoCommit") && arguments[0].equals(false)) {
                comings.incrementAndGet();
                inbox().decide(mark("evt-1"), Outcome.SKIPPED);
            }
            if (method.equals("prepareStatement")
                    && String.valueOf(arguments[0]).startsWith("SELECT outcome")) {
                execute("DELETE FROM eventbus_inbox");
            }
            return rest.call();
        }));
        assertThat(flickering.run(mark("evt-1"), book("evt-1"))).isEqualTo(new HeldElsewhere());
        assertThat(comings).hasValue(3);
        assertThat(effects()).isEmpty();
    }
}
