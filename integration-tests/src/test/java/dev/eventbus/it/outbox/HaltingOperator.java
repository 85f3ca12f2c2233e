package dev.eventbus.it.outbox;

import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxAdmin;
import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.concurrent.TimeUnit;
import javax.sql.DataSource;
import org.postgresql.ds.PGSimpleDataSource;

/** The process of a person who unblocks a key or discards an event, until it is halted as if the power had failed. */
final class HaltingOperator {

    /** What the person does. */
    enum Deed {
        UNBLOCK,
        /** And keeps the event in {@link #KEPT} before it is gone. */
        DISCARD
    }

    static final String CREATE_KEPT = "CREATE TABLE kept (event_id varchar(128))";
    static final String KEPT = "SELECT DISTINCT event_id FROM kept";

    private static final int ENDS_WITHIN_SECONDS = 60;

    private HaltingOperator() {}

    /**
     * Runs it to its end; its exit code.
     *
     * @param crash where it halts, see {@link CrashPoint}; UNBLOCK has one commit, DISCARD a second one after that of its search
     */
    static int run(Scene scene, Deed deed, String key, String event, String crash)
            throws IOException, InterruptedException {
        ProcessBuilder child = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-D%s=%s".formatted(CrashPoint.PROPERTY, crash),
                "-cp",
                System.getProperty("java.class.path"),
                HaltingOperator.class.getName(),
                scene.database().getJdbcUrl(),
                deed.name(),
                key,
                event);
        child.environment().put("OPERATOR", scene.database().getUsername());
        child.environment().put("OPERATOR_PASSWORD", scene.database().getPassword());
        Process process = child.redirectOutput(Redirect.DISCARD)
                .redirectError(Redirect.INHERIT)
                .start();
        if (!process.waitFor(ENDS_WITHIN_SECONDS, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new AssertionError("not halted at %s within %d s".formatted(crash, ENDS_WITHIN_SECONDS));
        }
        return process.exitValue();
    }

    /** @param arguments JDBC address, deed, key, event */
    public static void main(String[] arguments) throws SQLException {
        PGSimpleDataSource database = new PGSimpleDataSource();
        database.setUrl(arguments[0]);
        database.setUser(System.getenv("OPERATOR"));
        database.setPassword(System.getenv("OPERATOR_PASSWORD"));
        OutboxAdmin admin =
                OutboxAdmin.of(JdbcOutbox.postgres(), CrashPoint.ofThisJvm().in(database));
        act(admin, database, Deed.valueOf(arguments[1]), arguments[2], arguments[3]);
    }

    static void act(OutboxAdmin admin, DataSource keeps, Deed deed, String key, String event) throws SQLException {
        if (deed == Deed.UNBLOCK) {
            admin.unblock("asset.events", key);
        } else {
            admin.discard(event, "kept elsewhere", taken -> keep(keeps, taken.id()));
        }
    }

    private static void keep(DataSource database, String event) {
        try (Connection connection = database.getConnection();
                PreparedStatement insert = connection.prepareStatement("INSERT INTO kept VALUES (?)")) {
            insert.setString(1, event);
            insert.executeUpdate();
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }
}
