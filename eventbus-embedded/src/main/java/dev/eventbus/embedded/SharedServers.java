package dev.eventbus.embedded;

import java.io.PrintStream;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;

/**
 * The servers of one test run, each started when it is first asked for; those that are asked for together start side by
 * side.
 *
 * <p>Thread-safe. A start that failed is not tried again: every test that asks is told the same reason.
 */
final class SharedServers implements AutoCloseable {

    /** What there is. */
    enum Kind {
        KAFKA,
        POSTGRES
    }

    private static final int RANDOM_LETTERS = 8; // before the first hyphen of a UUID, all random

    private final ServerSource source;
    private final PrintStream report;
    private final ExecutorService starters = Executors.newFixedThreadPool(Kind.values().length);
    private final Map<Kind, CompletableFuture<ServerSource.Started<?>>> started =
            new EnumMap<>(Kind.class); // guarded by this

    SharedServers(ServerSource source, PrintStream report) {
        this.source = source;
        this.report = report;
    }

    /** The shared servers of a mode: {@code embedded}, {@code external} or {@code testcontainers}. */
    static SharedServers of(Setting setting, PrintStream report) {
        String mode = setting.find("eventbus.servers").orElse("embedded");
        ServerSource source = switch (mode) {
            case "embedded" -> new ServerSource.Embedded();
            case "external" -> new ServerSource.External(setting);
            case "testcontainers" -> containers();
            default ->
                throw new EmbeddedServerException(
                        "eventbus.servers must be embedded, external or testcontainers, was " + mode);
        };
        return new SharedServers(source, report);
    }

    private static ServerSource containers() {
        try {
            return ContainerSource.checked();
        } catch (NoClassDefFoundError e) { // met here, since it is that class which cannot be linked
            throw new EmbeddedServerException(
                    "-Deventbus.servers=testcontainers needs the test dependencies"
                            + " org.testcontainers:testcontainers-kafka and testcontainers-postgresql",
                    e);
        }
    }

    /** Good for a topic, a group and an SQL identifier alike; what runs beside us or ran before has another. */
    static String uniqueName(String prefix) {
        if (prefix.isBlank()) {
            throw new IllegalArgumentException("prefix must not be blank");
        }
        return prefix + "_" + UUID.randomUUID().toString().substring(0, RANDOM_LETTERS);
    }

    /** A server, started now if it was not; what else is needed soon comes up beside it. */
    Object get(Kind wanted, Set<Kind> neededSoon) {
        Set<Kind> all = EnumSet.of(wanted);
        all.addAll(neededSoon);
        Set<Kind> fresh = startMissing(all);
        if (!fresh.isEmpty()) {
            report.println("eventbus servers: " + source.mode() + " "
                    + fresh.stream().map(kind -> join(kind).description()).collect(Collectors.joining(", ")));
        }
        return join(wanted).server();
    }

    private synchronized Set<Kind> startMissing(Set<Kind> kinds) {
        Set<Kind> fresh = EnumSet.noneOf(Kind.class);
        for (Kind kind : kinds) {
            if (!started.containsKey(kind)) {
                started.put(kind, CompletableFuture.supplyAsync(() -> start(kind), starters));
                fresh.add(kind);
            }
        }
        return fresh;
    }

    private ServerSource.Started<?> start(Kind kind) {
        return switch (kind) {
            case KAFKA -> source.kafka();
            case POSTGRES -> source.postgres();
        };
    }

    private ServerSource.Started<?> join(Kind kind) {
        CompletableFuture<ServerSource.Started<?>> future;
        synchronized (this) {
            future = started.get(kind);
        }
        if (future == null) {
            throw new IllegalStateException(kind + " was not started");
        }
        try {
            return future.join();
        } catch (CompletionException e) {
            throw new EmbeddedServerException("The tests have no " + kind + ". " + reason(e), e);
        }
    }

    private static String reason(CompletionException failure) {
        Throwable cause = failure.getCause();
        return String.valueOf(cause == null ? failure.getMessage() : cause.getMessage());
    }

    /** Ends the servers, after any start that is still under way. */
    @Override
    public void close() {
        starters.shutdown();
        synchronized (this) {
            started.values()
                    .forEach(
                            future -> future.handle((server, failure) -> server).join());
        }
        source.close();
    }
}
