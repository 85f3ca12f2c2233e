package dev.eventbus.examples.homestarter;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Users who change something, 70 assets and 30 homes a second, evenly over time; at most eight at once. Every fifth change is of one user,
 * from several threads.
 */
final class Load implements AutoCloseable {

    static final int PER_SECOND = 100;

    private static final long EVERY_NANOS = 1_000_000_000L / PER_SECOND;
    private static final int AT_ONCE = 8;
    private static final int USERS = 40;
    private static final int BUSY = 5;

    private final HttpClient client = HttpClient.newHttpClient();
    private final ExecutorService threads = Executors.newFixedThreadPool(AT_ONCE);
    private final AtomicBoolean stopped = new AtomicBoolean();
    private final AtomicLong committed = new AtomicLong();
    private final long start = System.nanoTime();
    private final String assets;
    private final String housing;
    private final List<Future<?>> running = new ArrayList<>();

    private Load(String assets, String housing) {
        this.assets = assets;
        this.housing = housing;
    }

    static Load start(String assets, String housing) {
        Load load = new Load(assets, housing);
        for (int i = 0; i < AT_ONCE; i++) {
            int first = i;
            load.running.add(load.threads.submit(() -> load.run(first)));
        }
        return load;
    }

    /**
     * How many changes are committed by now.
     *
     * @throws ExecutionException with what has ended one of the threads: the others would go on, and the numbers come later or never
     */
    long committed() throws ExecutionException, InterruptedException {
        for (Future<?> one : running) {
            if (one.isDone()) {
                one.get();
            }
        }
        return committed.get();
    }

    private @Nullable Void run(int first) throws IOException, InterruptedException {
        for (long number = first; !stopped.get(); number += AT_ONCE) {
            long when = start + number * EVERY_NANOS;
            for (long left = when - System.nanoTime(); left > 0; left = when - System.nanoTime()) {
                LockSupport.parkNanos(left);
            }
            HttpResponse<String> response = client.send(request(number), BodyHandlers.ofString());
            if (response.statusCode() != 200) {
                throw new IllegalStateException("a change was not committed: " + response.body());
            }
            committed.incrementAndGet();
        }
        return null;
    }

    private HttpRequest request(long number) {
        String user = "user-%03d".formatted(number % BUSY == 0 ? 0 : number * 7 % USERS);
        return number % 10 < 7
                ? asset(assets, user, number)
                : put("%s/users/%s/homes/%s-home".formatted(housing, user, user), "{\"price\":%d}".formatted(number));
    }

    /** A change of an asset. */
    static HttpRequest asset(String assets, String user, long amount) {
        return put(
                "%s/users/%s/assets/savings".formatted(assets, user),
                "{\"itemType\":\"ASSET\",\"amount\":%d}".formatted(amount));
    }

    private static HttpRequest put(String url, String json) {
        return HttpRequest.newBuilder(URI.create(url))
                .PUT(BodyPublishers.ofString(json))
                .build();
    }

    /** Sends no more, and returns when all are answered. */
    void stop() throws ExecutionException, InterruptedException {
        stopped.set(true);
        for (Future<?> one : running) {
            one.get();
        }
    }

    @Override
    public void close() {
        stopped.set(true);
        threads.shutdown();
    }
}
