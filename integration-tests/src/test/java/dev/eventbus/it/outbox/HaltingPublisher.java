package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.Event;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.JdbcOutbox;
import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Instant;
import java.util.SplittableRandom;

/** A process that changes a ledger and publishes, until it is halted as if the power had failed. */
final class HaltingPublisher {

    /** Where in a transaction it ends. */
    enum Point {
        BEFORE_PUBLISH,
        AFTER_PUBLISH,
        AFTER_COMMIT
    }

    static final int HALTED = 42;

    static final String CREATE_LEDGER =
            "CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, event_id varchar(128) PRIMARY KEY)";

    private HaltingPublisher() {}

    /** @param seed decides after how many transactions it ends */
    static Process start(HikariDataSource database, Point point, int seed) throws IOException {
        ProcessBuilder child = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                HaltingPublisher.class.getName(),
                database.getJdbcUrl(),
                point.name(),
                String.valueOf(seed));
        child.environment().put("PUBLISHER_USER", database.getUsername());
        child.environment().put("PUBLISHER_PASSWORD", database.getPassword());
        return child.redirectOutput(Redirect.DISCARD)
                .redirectError(Redirect.INHERIT)
                .start();
    }

    public static void main(String[] args) throws SQLException {
        Point point = Point.valueOf(args[1]);
        int whole = 1 + new SplittableRandom(Long.parseLong(args[2])).nextInt(10);
        try (Connection tx = DriverManager.getConnection(
                args[0], System.getenv("PUBLISHER_USER"), System.getenv("PUBLISHER_PASSWORD"))) {
            tx.setAutoCommit(false);
            for (int i = 0; ; i++) {
                String id = "%s-%s-%d".formatted(point, args[2], i);
                change(tx, id);
                haltAt(Point.BEFORE_PUBLISH, point, i, whole);
                JdbcOutbox.postgres()
                        .within(tx)
                        .publish(Event.of(ASSET_UPDATED, id, Instant.EPOCH, AssetUpdated.amount("alice", i)));
                haltAt(Point.AFTER_PUBLISH, point, i, whole);
                tx.commit();
                haltAt(Point.AFTER_COMMIT, point, i, whole);
            }
        }
    }

    private static void change(Connection tx, String id) throws SQLException {
        try (PreparedStatement change = tx.prepareStatement("INSERT INTO ledger (event_id) VALUES (?)")) {
            change.setString(1, id);
            change.executeUpdate();
        }
    }

    private static void haltAt(Point here, Point point, int done, int whole) {
        if (here == point && done == whole) {
            Runtime.getRuntime().halt(HALTED);
        }
    }
}
