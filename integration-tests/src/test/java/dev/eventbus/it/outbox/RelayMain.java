package dev.eventbus.it.outbox;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.RelayListener;
import dev.eventbus.outbox.SendMode;
import dev.eventbus.topics.KafkaCluster;
import java.io.IOException;
import java.time.Duration;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/** What {@link RelayProcess} starts: one relay that runs until standard input ends, and is then closed. */
final class RelayMain {

    /** System property that says how events are sent. */
    static final String SEND_MODE = "eventbus.it.sendMode";

    private RelayMain() {}

    /** @param arguments JDBC address, user, password, bootstrap servers, topic prefix, lease */
    public static void main(String[] arguments) throws IOException {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(arguments[0]);
        pool.setUsername(arguments[1]);
        pool.setPassword(arguments[2]);
        pool.setMaximumPoolSize(2);
        pool.setMinimumIdle(0);
        KafkaCluster kafka = KafkaCluster.at(arguments[3]).topicPrefix(arguments[4]);
        CrashPoint crash = CrashPoint.ofThisJvm();
        try (HikariDataSource database = new HikariDataSource(pool);
                OutboxRelay relay = OutboxRelay.builder(JdbcOutbox.postgres(), crash.in(database), crash.in(kafka))
                        .lease(Duration.parse(arguments[5]))
                        .sendMode(SendMode.valueOf(System.getProperty(SEND_MODE, SendMode.PIPELINED.name())))
                        .listener(new Teller(crash))
                        .build()) {
            relay.start();
            while (System.in.read() >= 0) {
                continue; // only its end says something
            }
        }
    }

    /** Tells the parent what the relay says. */
    private record Teller(CrashPoint crash) implements RelayListener {

        @Override
        public void shardsChanged(Set<Integer> owned) {
            tell(
                    RelayProcess.SHARDS,
                    new TreeSet<>(owned).stream().map(String::valueOf).collect(Collectors.joining(",")));
            crash.reached(CrashPoint.Place.LEASES_TAKEN);
        }

        @Override
        public void relayed(int events) {
            tell(RelayProcess.RELAYED, String.valueOf(events));
        }

        @Override
        public void deletedByOthers(int rows) {
            tell(RelayProcess.DELETED_BY_OTHERS, String.valueOf(rows));
        }

        @Override
        public void sendFailed(String eventId, String topic, Exception error) {
            tell(RelayProcess.FAILED, eventId + " of " + topic + ": " + error);
        }

        @Override
        public void keyBlocked(String eventId, String topic, String reason) {
            tell(RelayProcess.BLOCKED, "");
        }

        private static void tell(String what, String value) {
            System.out.println(what + value);
        }
    }
}
