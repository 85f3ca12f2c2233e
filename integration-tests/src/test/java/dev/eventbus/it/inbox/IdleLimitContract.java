package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.MarkResult.Decided;
import dev.eventbus.consumer.inbox.MarkResult.HeldElsewhere;
import dev.eventbus.it.Eventually;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** Where the database ends the transaction of a process that no longer says anything. */
public abstract class IdleLimitContract extends InboxDatabase {

    @Test
    void K_03_a_stopped_owner_loses_its_marks_after_the_idle_limit_and_its_commit_fails_when_it_wakes()
            throws Exception {
        JdbcInbox limited = inboxOn(dataSource()).idleLimit(Duration.ofSeconds(5));
        CountDownLatch stopped = new CountDownLatch(32);
        CountDownLatch wakes = new CountDownLatch(1);
        List<Future<MarkResult>> zombies = new ArrayList<>();
        for (int i = 0; i < 32; i++) {
            String id = "evt-" + i;
            zombies.add(others().submit(() -> limited.run(mark(id), transaction -> {
                book("zombie").run(transaction);
                stopped.countDown();
                wakes.await();
            })));
        }
        assertThat(stopped.await(1, TimeUnit.MINUTES)).isTrue();
        assertThat(inbox().run(mark("healthy"), book("healthy"))).isEqualTo(new Decided());
        for (int i = 0; i < 32; i++) {
            String id = "evt-" + i;
            AtomicReference<MarkResult> result = new AtomicReference<>(new HeldElsewhere());
            Eventually.holds(
                    () -> {
                        result.set(inbox().run(mark(id), book(id)));
                        return !(result.get() instanceof HeldElsewhere);
                    },
                    () -> id);
            assertThat(result).hasValue(new Decided());
        }
        wakes.countDown();
        for (Future<MarkResult> zombie : zombies) {
            assertThatThrownBy(() -> zombie.get(30, TimeUnit.SECONDS)).isInstanceOf(ExecutionException.class);
        }
        assertThat(effects()).hasSize(33).doesNotContain("zombie").doesNotHaveDuplicates();
    }
}
