package dev.eventbus.benchmarks;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadInfo;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;

/** What does a relay cost that has nothing to do? */
final class IdleQuestion {

    private static final Duration SETTLES_WITHIN = Duration.ofSeconds(3);
    private static final String OUR_THREADS = "eventbus-relay";

    private final Servers servers;
    private final Duration watched;
    private double relay;
    private double database;

    IdleQuestion(Servers servers, boolean quick) {
        this.servers = servers;
        this.watched = Duration.ofSeconds(quick ? 8 : 30);
    }

    /** One event goes through first, so that the producer is open. */
    void ask() throws Exception {
        servers.execute(BarePublishing.BUSINESS_TABLE);
        EventbusRelay contestant = EventbusRelay.of(Lineup.US);
        contestant.empty(servers);
        String topic = servers.createTopic();
        try (Contestant.Running running = contestant.start(servers, topic)) {
            try (Publishing publishing = running.publishing()) {
                publishing.publish(0);
            }
            DrainRun.await(contestant, () -> running.settled() == 1);
            LockSupport.parkNanos(SETTLES_WITHIN.toNanos());
            long start = System.nanoTime();
            long ourThreads = nanosOfOurThreads();
            long backends = nanosOfBackends();
            LockSupport.parkNanos(watched.toNanos());
            double nanos = System.nanoTime() - start;
            relay = 100 * (nanosOfOurThreads() - ourThreads) / nanos;
            database = 100 * (nanosOfBackends() - backends) / nanos;
        } finally {
            servers.deleteTopic(topic);
        }
    }

    /** The relay's own and its producer's. */
    private static long nanosOfOurThreads() {
        ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        long sum = 0;
        for (ThreadInfo thread : threads.dumpAllThreads(false, false)) {
            if (thread.getThreadName().contains(OUR_THREADS)) {
                sum += threads.getThreadCpuTime(thread.getThreadId());
            }
        }
        return sum;
    }

    private long nanosOfBackends() throws SQLException, IOException {
        long sum = 0;
        try (Connection connection = servers.connect();
                Statement statement = connection.createStatement();
                ResultSet pids = statement.executeQuery("""
                        SELECT pid FROM pg_stat_activity
                        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                        """)) {
            while (pids.next()) {
                String statistics = Files.readString(Path.of("/proc", pids.getString(1), "schedstat"));
                sum += Long.parseLong(statistics.substring(0, statistics.indexOf(' ')));
            }
        }
        return sum;
    }

    void print(Verdict verdict) {
        Table table = new Table(
                "An idle relay, %% of a core (over %d s)".formatted(watched.toSeconds()),
                "",
                "relay",
                "its database session");
        table.row(Lineup.US, "%.2f".formatted(relay), "%.2f".formatted(database));
        table.print(System.out);
        verdict.put("relay.idle.core_pct", "%.2f".formatted(relay));
        verdict.put("relay.idle.database_core_pct", "%.2f".formatted(database));
    }
}
