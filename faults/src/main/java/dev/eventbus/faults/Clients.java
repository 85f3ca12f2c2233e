package dev.eventbus.faults;

import java.util.HashMap;
import java.util.Map;

/** Who logs in at the brokers, and how. */
enum Clients {
    /** Publishers' relays and consumers, whose rights may be taken away. */
    APPLICATION,
    /** Somebody with all rights: who makes faults, and who judges. */
    ADMIN;

    String user() {
        return name().toLowerCase(java.util.Locale.ROOT);
    }

    /** No secret: brokers and clients are on one machine, and gone with the run. */
    String password() {
        return user();
    }

    String principal() {
        return "User:" + user();
    }

    Map<String, String> settings(String bootstrapServers) {
        return new HashMap<>(Map.of(
                "bootstrap.servers",
                bootstrapServers,
                "security.protocol",
                "SASL_PLAINTEXT",
                "sasl.mechanism",
                "PLAIN",
                "sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"%s\" password=\"%s\";"
                        .formatted(user(), password())));
    }
}
