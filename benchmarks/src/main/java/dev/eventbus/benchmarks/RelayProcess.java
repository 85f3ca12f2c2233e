package dev.eventbus.benchmarks;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.RelayListener;
import dev.eventbus.topics.KafkaCluster;
import java.io.IOException;

/** A relay in a JVM of its own, until its standard input ends. Says on its standard output how many events it has relayed. */
public final class RelayProcess {

    private RelayProcess() {}

    /** Arguments: JDBC address, user, password, bootstrap servers. */
    public static void main(String... arguments) throws IOException {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(arguments[0]);
        pool.setUsername(arguments[1]);
        pool.setPassword(arguments[2]);
        pool.setMaximumPoolSize(2);
        RelayListener teller = new RelayListener() {
            @Override
            public void relayed(int events) {
                System.out.println(events);
            }
        };
        try (HikariDataSource database = new HikariDataSource(pool);
                OutboxRelay relay = OutboxRelay.builder(JdbcOutbox.postgres(), database, KafkaCluster.at(arguments[3]))
                        .listener(teller)
                        .build()) {
            relay.start();
            while (System.in.read() >= 0) {
                // until the parent has closed it, or is gone
            }
        }
    }
}
