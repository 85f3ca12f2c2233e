package dev.eventbus.examples.homestarter;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.topics.KafkaCluster;
import java.util.Map;
import redis.clients.jedis.RedisClient;

/** What a program is told by its environment: {@code KAFKA}, {@code DATABASE}, {@code DATABASE_USER}, {@code DATABASE_PASSWORD}, {@code REDIS}, {@code PORT}. */
record Settings(Map<String, String> values) {

    /** Kafka's own default is five minutes: for so long nobody would read a topic's new partitions. */
    private static final String NEW_PARTITIONS_SEEN_WITHIN_MILLIS = "5000";

    static Settings ofEnvironment() {
        return new Settings(System.getenv());
    }

    KafkaCluster kafka() {
        return KafkaCluster.of(Map.of(
                "bootstrap.servers", required("KAFKA"), "metadata.max.age.ms", NEW_PARTITIONS_SEEN_WITHIN_MILLIS));
    }

    /** Two for the relay, now and then one for what the meters ask, the others for requests. */
    HikariDataSource database() {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(required("DATABASE"));
        pool.setUsername(required("DATABASE_USER"));
        pool.setPassword(required("DATABASE_PASSWORD"));
        pool.setMaximumPoolSize(10);
        return new HikariDataSource(pool);
    }

    RedisClient redis() {
        return RedisClient.create(required("REDIS"));
    }

    /** 0 is any that is free. */
    int port() {
        return Integer.parseInt(values.getOrDefault("PORT", "0"));
    }

    private String required(String name) {
        String value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException("the environment has no " + name);
        }
        return value;
    }
}
