package dev.eventbus.outbox;

import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.parallel.Isolated;

/** A relay that is closed while it starts. */
@Timeout(60)
@Isolated("looks at all threads there are")
class RelayStartTest {

    private final TestDatabase database = new TestDatabase();

    @Test
    void a_start_that_a_close_overtakes_leaves_no_thread() throws Exception {
        Set<Thread> before = flushers();
        ExecutorService closer = Executors.newSingleThreadExecutor();
        try {
            while (!isOvertaken(closer)) {} // the window is narrow: until it was hit
        } finally {
            closer.shutdownNow();
        }
        Eventually.isTrue(() -> before.containsAll(flushers()));
    }

    /** Whether the close came between the two threads that a relay starts. */
    private boolean isOvertaken(ExecutorService closer) throws Exception {
        OutboxRelay relay = OutboxRelay.builder(database.outbox, database.dataSource, new FakeKafka())
                .build();
        CyclicBarrier both = new CyclicBarrier(2);
        Future<?> closed = closer.submit(() -> {
            both.await();
            relay.close(Duration.ofSeconds(5));
            return null;
        });
        both.await();
        String refused = "";
        try {
            relay.start();
        } catch (IllegalStateException e) {
            refused = String.valueOf(e.getMessage());
        }
        try {
            closed.get();
        } catch (ExecutionException e) {
            throw new AssertionError("close failed", e);
        }
        return refused.startsWith("eventbus-relay was started");
    }

    private static Set<Thread> flushers() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("eventbus-relay-flush"))
                .collect(Collectors.toCollection(HashSet::new));
    }
}
