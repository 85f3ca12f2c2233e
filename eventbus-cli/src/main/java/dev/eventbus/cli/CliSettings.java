package dev.eventbus.cli;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.topics.KafkaCluster;
import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;

/** What was configured: a file, and over it the environment. Its values never appear in a message. */
final class CliSettings {

    private static final String ENVIRONMENT = "EVENTBUS_";
    private static final String KAFKA = "kafka.";

    /** Kubernetes tells each process of the services beside it so; one may be called {@code eventbus-kafka-bootstrap}. */
    private static final Pattern SERVICE = Pattern.compile(".*\\.(service\\.host|(service\\.)?port(\\..*)?)");

    private static final Set<String> KNOWN = Set.of(
            "cluster.name",
            "topic.prefix",
            "database.url",
            "database.user",
            "database.password",
            "inbox.schema",
            "outbox.schema",
            "outbox.table",
            "group",
            "dead.letters");

    /** The configuration is wrong; the message names settings, never values. */
    static final class Refused extends IllegalArgumentException {
        private static final long serialVersionUID = 1;

        Refused(String message) {
            super(message);
        }
    }

    private final Map<String, String> values;

    private CliSettings(Map<String, String> values) {
        this.values = values;
    }

    static CliSettings of(@Nullable Path file, Map<String, String> environment) {
        Map<String, String> values = new HashMap<>();
        if (file != null) {
            Properties read = new Properties();
            try (Reader reader = Files.newBufferedReader(file)) {
                read.load(reader);
            } catch (IOException | IllegalArgumentException e) {
                throw new Refused("--config %s cannot be read as a properties file (%s)"
                        .formatted(file, e.getClass().getSimpleName()));
            }
            read.stringPropertyNames().forEach(name -> values.put(name, read.getProperty(name, "")));
        }
        Set<String> unknown = new TreeSet<>(values.keySet());
        unknown.removeIf(name -> KNOWN.contains(name) || name.startsWith(KAFKA));
        if (!unknown.isEmpty()) {
            throw new Refused("unknown settings %s; known are %s and kafka.<client setting>"
                    .formatted(unknown, new TreeSet<>(KNOWN)));
        }
        environment.forEach((name, value) -> {
            if (name.startsWith(ENVIRONMENT)) {
                String setting = name.substring(ENVIRONMENT.length())
                        .toLowerCase(Locale.ROOT)
                        .replace('_', '.');
                if (KNOWN.contains(setting)
                        || setting.startsWith(KAFKA)
                                && !SERVICE.matcher(setting).matches()) {
                    values.put(setting, value);
                }
            }
        });
        return new CliSettings(values);
    }

    Optional<String> find(String name) {
        return Optional.ofNullable(values.get(name)).filter(value -> !value.isBlank());
    }

    String require(String name) {
        return find(name)
                .orElseThrow(() -> new Refused("%s is not set; say it in the file given by --config, or as %s"
                        .formatted(
                                name,
                                ENVIRONMENT + name.toUpperCase(Locale.ROOT).replace('.', '_'))));
    }

    KafkaCluster kafka() {
        require("kafka.bootstrap.servers");
        Map<String, String> client = new HashMap<>();
        values.forEach((name, value) -> {
            if (name.startsWith(KAFKA)) {
                client.put(name.substring(KAFKA.length()), value);
            }
        });
        KafkaCluster kafka = KafkaCluster.of(client);
        KafkaCluster prefixed = prefix().isEmpty() ? kafka : kafka.topicPrefix(prefix());
        return find("cluster.name").map(prefixed::named).orElse(prefixed);
    }

    /** As commands take topics and lists show them; does without a cluster. */
    String logicalTopic(String physical) {
        return physical.startsWith(prefix()) ? physical.substring(prefix().length()) : physical;
    }

    private String prefix() {
        return find("topic.prefix").orElse("");
    }

    boolean hasDatabase() {
        return find("database.url").isPresent();
    }

    DataSource dataSource() {
        return new UrlDataSource(
                require("database.url"),
                find("database.user").orElse(null),
                find("database.password").orElse(null));
    }

    JdbcInbox inbox() {
        JdbcInbox inbox = switch (product()) {
            case "postgresql" -> JdbcInbox.postgres(dataSource());
            case "mariadb" -> JdbcInbox.mariaDb(dataSource());
            case "h2" -> JdbcInbox.h2(dataSource());
            default -> throw noDatabase();
        };
        JdbcInbox named = find("inbox.schema").map(inbox::schema).orElse(inbox);
        named.verify();
        return named;
    }

    JdbcOutbox outbox() {
        JdbcOutbox outbox = switch (product()) {
            case "postgresql" -> JdbcOutbox.postgres();
            case "mariadb" -> JdbcOutbox.mariaDb();
            case "mysql" -> JdbcOutbox.mySql();
            case "h2" -> JdbcOutbox.h2();
            default -> throw noDatabase();
        };
        JdbcOutbox inSchema = find("outbox.schema").map(outbox::schema).orElse(outbox);
        return find("outbox.table").map(inSchema::table).orElse(inSchema);
    }

    private String product() {
        String[] parts = require("database.url").split(":", 3);
        return parts.length == 3 && parts[0].equals("jdbc") ? parts[1] : "";
    }

    private static Refused noDatabase() {
        return new Refused(
                "database.url must begin with jdbc:postgresql:, jdbc:mariadb: or jdbc:h2:, for an outbox also jdbc:mysql:");
    }

    /** Names only. */
    @Override
    public String toString() {
        return "settings " + new TreeSet<>(values.keySet());
    }
}
