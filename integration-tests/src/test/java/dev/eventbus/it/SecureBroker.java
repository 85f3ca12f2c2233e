package dev.eventbus.it;

import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.topics.KafkaCluster;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;

/** A broker as it is to be: TLS, passwords by SCRAM, and rights. Its user {@code admin} may do everything, the others what they are let. */
final class SecureBroker implements AutoCloseable {

    private final Path certificate;
    private final EmbeddedKafka broker;
    private final Admin admin;

    private SecureBroker(Path certificate, EmbeddedKafka broker) {
        this.certificate = certificate;
        this.broker = broker;
        this.admin = as("admin").admin();
    }

    /** @param folder for its certificate */
    static SecureBroker start(Path folder, String... users) throws Exception {
        Path certificate = new Certificates(folder).selfSigned("broker", "-ext", Certificates.HERE);
        EmbeddedKafka.Builder builder = EmbeddedKafka.builder()
                .tls(certificate, Certificates.PASSWORD)
                .scramUser("admin", passwordOf("admin"))
                .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
                .property("super.users", "User:admin;User:ANONYMOUS"); // brokers among themselves have no name
        for (String user : users) {
            builder.scramUser(user, passwordOf(user));
        }
        return new SecureBroker(certificate, builder.start());
    }

    static String passwordOf(String user) {
        return "S3CR3T-" + user;
    }

    Admin admin() {
        return admin;
    }

    KafkaCluster as(String user) {
        return with(settingsOf(user));
    }

    KafkaCluster with(Map<String, Object> settings) {
        return KafkaCluster.of(settings).named("kafka-events");
    }

    Map<String, Object> settingsOf(String user) {
        return settings("SASL_SSL", "SCRAM-SHA-512", user, passwordOf(user));
    }

    Map<String, Object> settings(String protocol, String mechanism, String user, String password) {
        String module = mechanism.equals("PLAIN") ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
        Map<String, Object> settings = new HashMap<>(Certificates.trust(certificate));
        settings.put("bootstrap.servers", broker.bootstrapServers());
        settings.put("security.protocol", protocol);
        settings.put("sasl.mechanism", mechanism);
        settings.put(
                "sasl.jaas.config",
                "org.apache.kafka.common.security.%s required username=\"%s\" password=\"%s\";"
                        .formatted(module, user, password));
        return settings;
    }

    @Override
    public void close() {
        admin.close();
        broker.close();
    }
}
