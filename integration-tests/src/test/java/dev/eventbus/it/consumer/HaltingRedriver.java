package dev.eventbus.it.consumer;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.faults.crash.Decorator;
import dev.eventbus.it.Scene;
import dev.eventbus.topics.KafkaCluster;
import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Path;
import java.sql.Connection;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.sql.DataSource;
import org.apache.kafka.clients.producer.Producer;

/** A process that redrives all of a group's dead letters, until it is halted as if the power had failed. */
final class HaltingRedriver {

    /** Where it ends. The first commit notes that the run begins, each that follows is of one letter, the last notes the end. */
    enum Point {
        BEFORE_COMMIT,
        AFTER_COMMIT,
        BEFORE_SEND,
        /** Kafka has the letter, and the run does not know. */
        AFTER_SEND
    }

    static final int HALTED = 42;

    private static final int ENDS_WITHIN_SECONDS = 60;

    private final Point point;
    private final AtomicInteger left;

    private HaltingRedriver(Point point, int times) {
        this.point = point;
        this.left = new AtomicInteger(times);
    }

    /**
     * Runs it to its end; its exit code.
     *
     * @param times at which commit or send it ends
     * @param inbox whether the group has one, in the scene's database
     */
    static int run(Scene scene, String group, Point point, int times, boolean inbox)
            throws IOException, InterruptedException {
        ProcessBuilder child = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                HaltingRedriver.class.getName(),
                point.name(),
                String.valueOf(times),
                group,
                scene.kafka().bootstrapServers(),
                scene.kafka().physicalTopic(""),
                inbox ? scene.database().getJdbcUrl() : "");
        child.environment().put("REDRIVER_USER", scene.database().getUsername());
        child.environment().put("REDRIVER_PASSWORD", scene.database().getPassword());
        Process process = child.redirectOutput(Redirect.DISCARD)
                .redirectError(Redirect.INHERIT)
                .start();
        try {
            return process.waitFor(ENDS_WITHIN_SECONDS, TimeUnit.SECONDS) ? process.exitValue() : -1;
        } finally {
            process.destroyForcibly();
        }
    }

    public static void main(String[] args) {
        HaltingRedriver halts = new HaltingRedriver(Point.valueOf(args[0]), Integer.parseInt(args[1]));
        KafkaCluster kafka =
                halts.in(KafkaCluster.of(Map.of("bootstrap.servers", args[3])).topicPrefix(args[4]));
        if (args[5].isEmpty()) {
            Redrive.of(kafka, args[2], "dlq.events").plan().run("halts");
            return;
        }
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(args[5]);
        pool.setUsername(System.getenv("REDRIVER_USER"));
        pool.setPassword(System.getenv("REDRIVER_PASSWORD"));
        pool.setMaximumPoolSize(2);
        try (HikariDataSource database = new HikariDataSource(pool)) {
            Redrive.of(kafka, args[2], "dlq.events", JdbcInbox.postgres(halts.in(database)))
                    .plan()
                    .run("halts");
        }
    }

    private DataSource in(DataSource real) {
        return Decorator.of(DataSource.class, (method, arguments) -> {
            Object result = method.invoke(real, arguments);
            return result instanceof Connection connection ? in(connection) : result;
        });
    }

    private Connection in(Connection real) {
        return Decorator.of(Connection.class, (method, arguments) -> {
            boolean commits = method.getName().equals("commit");
            boolean ends = commits && isNext(Point.BEFORE_COMMIT, Point.AFTER_COMMIT);
            if (ends && point == Point.BEFORE_COMMIT) {
                halt();
            }
            Object result = method.invoke(real, arguments);
            if (ends) {
                halt();
            }
            return result;
        });
    }

    private KafkaCluster in(KafkaCluster real) {
        return Decorator.of(KafkaCluster.class, (method, arguments) -> {
            Object result = method.invoke(real, arguments);
            return result instanceof Producer<?, ?> producer ? in(producer) : result;
        });
    }

    private Producer<?, ?> in(Producer<?, ?> real) {
        return Decorator.of(Producer.class, (method, arguments) -> {
            boolean ends = method.getName().equals("send") && isNext(Point.BEFORE_SEND, Point.AFTER_SEND);
            if (ends && point == Point.BEFORE_SEND) {
                halt();
            }
            Object result = method.invoke(real, arguments);
            if (ends) {
                real.flush();
                halt();
            }
            return result;
        });
    }

    private boolean isNext(Point before, Point after) {
        return (point == before || point == after) && left.decrementAndGet() == 0;
    }

    private static void halt() {
        Runtime.getRuntime().halt(HALTED);
    }
}
