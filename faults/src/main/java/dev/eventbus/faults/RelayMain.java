package dev.eventbus.faults;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.RelayListener;
import dev.eventbus.outbox.SendMode;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.util.Set;

/** A relay, until its standard input ends. */
final class RelayMain {

    static final Duration LEASE = Duration.ofSeconds(5);

    private RelayMain() {}

    /** @param arguments JDBC address, user, password, bootstrap servers, send mode */
    public static void main(String[] arguments) {
        CrashPoint crash = CrashPoint.ofThisJvm();
        KafkaCluster kafka = KafkaCluster.of(Clients.APPLICATION.settings(arguments[3]));
        try (HikariDataSource database = Children.pool(arguments[0], arguments[1], arguments[2], 2);
                OutboxRelay relay = OutboxRelay.builder(JdbcOutbox.postgres(), crash.in(database), crash.in(kafka))
                        .lease(LEASE)
                        .sendMode(SendMode.valueOf(arguments[4]))
                        .listener(new Crasher(crash))
                        .build()) {
            relay.start();
            Children.awaitEndOfInput(command -> {});
        }
    }

    private record Crasher(CrashPoint crash) implements RelayListener {

        @Override
        public void shardsChanged(Set<Integer> owned) {
            crash.reached(CrashPoint.Place.LEASES_TAKEN);
        }

        @Override
        public void keyBlocked(String eventId, String topic, String reason) {
            System.err.println("blocked: " + eventId + " of " + topic + ": " + reason);
        }
    }
}
