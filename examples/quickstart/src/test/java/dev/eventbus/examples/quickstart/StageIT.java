package dev.eventbus.examples.quickstart;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.embedded.EmbeddedServerException;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What was started must not keep the process. */
class StageIT {

    @SuppressWarnings("NullAway") // a runner refuses it as its listener, when the relay has started
    private static final Commentary NOBODY = null;

    private final List<Thread> before = threadsThatKeepTheProcess();
    private final Commentary commentary =
            new Commentary(new Screen(new PrintStream(new ByteArrayOutputStream(), true, StandardCharsets.UTF_8)));

    @Test
    void a_stage_that_cannot_be_wired_leaves_nothing_running() {
        assertThatThrownBy(() -> new Stage(NOBODY)).isInstanceOf(NullPointerException.class);
    }

    @Test
    void a_stage_whose_database_does_not_come_up_ends_the_broker_that_was_starting() {
        EmbeddedPostgres.start().close(); // now it is unpacked, which an interrupt would break off in another way
        Thread.currentThread().interrupt(); // while it waits for PostgreSQL
        assertThatThrownBy(() -> new Stage(commentary)).isInstanceOf(EmbeddedServerException.class);
        assertThat(Thread.interrupted()).isTrue();
    }

    @AfterEach
    void nothing_runs() throws InterruptedException {
        assertThat(ForkJoinPool.commonPool().awaitQuiescence(60, TimeUnit.SECONDS))
                .isTrue();
        List<ProcessHandle> servers = ProcessHandle.current().children().toList();
        List<Thread> threads = threadsThatKeepTheProcess();
        threads.removeAll(before);
        for (Thread thread : threads) { // its pool has ended, and it is about to
            thread.join(TimeUnit.SECONDS.toMillis(10));
        }
        servers.forEach(ProcessHandle::destroyForcibly);

        assertThat(servers).isEmpty();
        assertThat(threads).noneMatch(Thread::isAlive);
    }

    /** Whatever their names: relays, runners, handlers, all that reads parked keys or purges an inbox. */
    private static List<Thread> threadsThatKeepTheProcess() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> !thread.isDaemon())
                .collect(Collectors.toCollection(ArrayList::new));
    }
}
