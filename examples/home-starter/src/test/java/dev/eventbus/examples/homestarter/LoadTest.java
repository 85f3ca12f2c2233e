package dev.eventbus.examples.homestarter;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class LoadTest {

    @Test
    @Timeout(30)
    void a_change_that_is_not_committed_is_told_and_not_only_missing() throws IOException {
        try (Http services = Http.on(0)
                        .route("PUT", "/users/{user}/homes/{home}", request -> "committed")
                        .route("PUT", "/users/{user}/assets/{item}", request -> {
                            throw new IllegalStateException("the database is full");
                        })
                        .start();
                Load load = Load.start(services.url(), services.url())) {
            assertThatThrownBy(() -> waitFor(load, 1_000_000))
                    .isInstanceOf(ExecutionException.class)
                    .hasMessageContaining("a change was not committed");
        }
    }

    private static void waitFor(Load load, long changes) throws ExecutionException, InterruptedException {
        while (load.committed() < changes) {
            LockSupport.parkNanos(Duration.ofMillis(10).toNanos());
        }
    }
}
