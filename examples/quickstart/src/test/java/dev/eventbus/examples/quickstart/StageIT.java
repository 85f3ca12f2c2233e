package dev.eventbus.examples.quickstart;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.embedded.EmbeddedServerException;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What was started must not keep the process. */
class StageIT {

    @SuppressWarnings("NullAway") // a runner refuses it as its listener, when the relay has started
    private static final Commentary NOBODY = null;

    private final Commentary commentary =
            new Commentary(new Screen(new PrintStream(new ByteArrayOutputStream(), true, StandardCharsets.UTF_8)));

    @Test
    void a_stage_that_cannot_be_wired_leaves_nothing_running() {
        assertThatThrownBy(() -> new Stage(NOBODY)).isInstanceOf(NullPointerException.class);
    }

    @Test
    void a_stage_whose_database_does_not_come_up_ends_the_broker_that_was_starting() {
        Thread.currentThread().interrupt(); // while it waits for PostgreSQL
        assertThatThrownBy(() -> new Stage(commentary)).isInstanceOf(EmbeddedServerException.class);
        assertThat(Thread.interrupted()).isTrue();
    }

    @AfterEach
    void nothing_runs() {
        assertThat(ForkJoinPool.commonPool().awaitQuiescence(60, TimeUnit.SECONDS))
                .isTrue();
        List<ProcessHandle> servers = ProcessHandle.current().children().toList();
        List<String> threads = Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> !thread.isDaemon())
                .map(Thread::getName)
                .filter(name -> name.startsWith("eventbus"))
                .toList();
        servers.forEach(ProcessHandle::destroyForcibly);

        assertThat(servers).isEmpty();
        assertThat(threads).isEmpty();
    }
}
