package dev.eventbus.topics;

import dev.eventbus.ErrorCode;
import dev.eventbus.StartRefusedException;
import dev.eventbus.internal.Checks;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.GroupProtocol;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.SaslConfigs;
import org.apache.kafka.common.config.SslConfigs;
import org.apache.kafka.common.config.types.Password;
import org.apache.kafka.common.utils.Utils;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The settings a user gave for a cluster, checked, and what each kind of client gets of them. Immutable. Values of secrets never
 * leave it but to a client.
 */
final class ClientSettings {

    private static final Logger LOG = LoggerFactory.getLogger(ClientSettings.class);

    /** What no producer made here may be without. */
    private static final Map<String, Object> EVERY_PRODUCER =
            Map.of(ProducerConfig.ACKS_CONFIG, "all", ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true);

    /** What no consumer made here may be without. */
    private static final Map<String, Object> EVERY_CONSUMER = Map.of(
            ConsumerConfig.ISOLATION_LEVEL_CONFIG,
            "read_committed",
            ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG,
            false,
            ConsumerConfig.AUTO_OFFSET_RESET_CONFIG,
            "none",
            ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG,
            false);

    private static final String DEFAULT_COMPRESSION = "lz4";

    private static final Map<String, ConfigDef.ConfigKey> KNOWN = known();

    /** A setting that would break a promise. */
    private record Refusal(String setting, Predicate<Object> breaks, String why) {

        static Refusal always(String setting, String why) {
            return new Refusal(setting, value -> true, why);
        }
    }

    private static final List<Refusal> REFUSALS = List.of(
            new Refusal(
                    ProducerConfig.ACKS_CONFIG,
                    value -> !value.equals("all") && !value.equals("-1"),
                    "would break P2 (no loss): a record counts as sent only when all in-sync replicas have it; remove it"),
            new Refusal(
                    ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG,
                    value -> value.equals(false),
                    "would break P3 (order on the wire): a retried batch could overtake its predecessor; remove it"),
            new Refusal(
                    ProducerConfig.MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION,
                    value -> (Integer) value > 5,
                    "would break P3 (order on the wire): the broker keeps the order of 5 requests at most; set 5 or less"),
            new Refusal(
                    ProducerConfig.RETRIES_CONFIG,
                    value -> (Integer) value < 1,
                    "would break P9 (it comes back): each short fault of a broker would become a failed send; remove it"),
            Refusal.always(
                    ProducerConfig.TRANSACTIONAL_ID_CONFIG,
                    "would break P9 (it comes back): producers of one id shut each other out; remove it"),
            Refusal.always(
                    ProducerConfig.PARTITIONER_CLASS_CONFIG,
                    "would break P3 (order on the wire): the relay keeps a key in its partition itself; remove it"),
            new Refusal(
                    ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG,
                    value -> value.equals(true),
                    "would break P6 (nothing vanishes): offsets are committed when the events before them are settled; remove it"),
            Refusal.always(
                    ConsumerConfig.AUTO_OFFSET_RESET_CONFIG,
                    "would break P6 (nothing vanishes): a new group begins at the earliest event and a gap is reported, never skipped in silence; remove it"),
            new Refusal(
                    ConsumerConfig.ISOLATION_LEVEL_CONFIG,
                    value -> !value.equals("read_committed"),
                    "would break P3 (order on the wire): records of aborted batches would be handled; remove it"),
            Refusal.always(
                    ConsumerConfig.GROUP_ID_CONFIG,
                    "would break P6 (nothing vanishes): runners of one cluster would share their offsets; give it to ConsumerRunner.builder(kafka, group)"),
            new Refusal(
                    ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG,
                    value -> value.equals(true),
                    "would break P2 (no loss): a misspelt topic would be made with the broker's defaults; create topics with Topics.provision()"),
            Refusal.always(
                    ProducerConfig.INTERCEPTOR_CLASSES_CONFIG,
                    "would break P6 (nothing vanishes): an interceptor can change or drop records unseen, and one class cannot serve producer and consumer; listen to relay and runner instead"),
            Refusal.always(
                    ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG,
                    "is ours: P3 needs keys as raw bytes, by which they find their partition; remove it"),
            Refusal.always(
                    ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG,
                    "is ours: P1 needs values as the bytes that the transaction has committed; remove it"),
            Refusal.always(
                    ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, "is ours: P4 needs keys as raw bytes; remove it"),
            Refusal.always(
                    ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG,
                    "is ours: P6 needs values as raw bytes, to dead-letter what cannot be read; remove it"),
            Refusal.always(
                    AdminClientConfig.BOOTSTRAP_CONTROLLERS_CONFIG,
                    "leads to controllers, not to the brokers that hold events; set bootstrap.servers"),
            new Refusal(
                    SaslConfigs.SASL_JAAS_CONFIG,
                    ClientSettings::namesARemoteLoginModule,
                    "names JndiLoginModule or LdapLoginModule, which fetch code or credentials from an address in the text; use Kafka's own login modules"));

    private final Map<String, Object> settings;

    private ClientSettings(Map<String, Object> settings) {
        this.settings = settings;
    }

    /** @throws StartRefusedException with all that is wrong with the settings, and with the Kafka client itself */
    static ClientSettings checked(Map<String, ?> settings) {
        List<String> problems = new ArrayList<>();
        KafkaClientVersion.problemOnTheClassPath().ifPresent(problems::add);
        problems.addAll(problemsOf(settings));
        if (!problems.isEmpty()) {
            throw StartRefusedException.of(ErrorCode.SETTINGS_REFUSED, "Settings of the Kafka cluster were", problems);
        }
        if ("".equals(settings.get(SslConfigs.SSL_ENDPOINT_IDENTIFICATION_ALGORITHM_CONFIG))) {
            LOG.warn(
                    "{} is blank: whoever has any certificate of a trusted authority can pose as a broker. Use certificates with the"
                            + " brokers' names and remove the setting",
                    SslConfigs.SSL_ENDPOINT_IDENTIFICATION_ALGORITHM_CONFIG);
        }
        return new ClientSettings(Map.copyOf(settings));
    }

    /** All that is wrong with the settings, in the order of their names. */
    static List<String> problemsOf(Map<String, ?> settings) {
        List<String> problems = new ArrayList<>();
        if (!settings.containsKey(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG)) {
            problems.add("bootstrap.servers is missing; set it to host:port, for example localhost:9092");
        }
        new TreeMap<>(settings).forEach((name, value) -> problemOf(name, value).ifPresent(problems::add));
        return problems;
    }

    Map<String, Object> forProducer(Map<String, Object> callers) {
        Map<String, Object> all = new HashMap<>();
        all.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, DEFAULT_COMPRESSION);
        all.putAll(only(ProducerConfig.configNames()));
        all.putAll(EVERY_PRODUCER);
        all.putAll(callers);
        return all;
    }

    Map<String, Object> forConsumer(Map<String, Object> callers) {
        Map<String, Object> all = new HashMap<>();
        if (!isNewGroupProtocol()) { // which refuses the setting: there the broker assigns
            all.put(ConsumerConfig.PARTITION_ASSIGNMENT_STRATEGY_CONFIG, CooperativeStickyAssignor.class.getName());
        }
        all.putAll(only(ConsumerConfig.configNames()));
        all.putAll(EVERY_CONSUMER);
        all.putAll(callers);
        return all;
    }

    /** As given; the fallback if it was not. */
    String get(String name, String fallback) {
        Object given = settings.get(name);
        return given == null ? fallback : given.toString();
    }

    private boolean isNewGroupProtocol() {
        return get(ConsumerConfig.GROUP_PROTOCOL_CONFIG, "").equalsIgnoreCase(GroupProtocol.CONSUMER.name());
    }

    Map<String, Object> forAdmin() {
        return only(AdminClientConfig.configNames());
    }

    /** Addresses for messages. */
    String bootstrapServers() {
        return String.join(",", addresses(settings.get(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG)));
    }

    /** Names only. */
    @Override
    public String toString() {
        return "settings " + new TreeSet<>(settings.keySet());
    }

    private Map<String, Object> only(Set<String> names) {
        Map<String, Object> some = new HashMap<>(settings);
        some.keySet().retainAll(names);
        return some;
    }

    private static Optional<String> problemOf(String name, Object value) {
        String shown = Checks.printable(name);
        if (name.equals("config.providers") || name.startsWith("config.providers.")) {
            return Optional.of(
                    shown + " is not passed on: values could name files to read; resolve secrets in your code");
        }
        if (value == null) {
            return Optional.of(shown + " is null; give it a value or remove it");
        }
        ConfigDef.ConfigKey key = KNOWN.get(name);
        if (key == null) {
            return Optional.of("%s is no setting of a Kafka client%s"
                    .formatted(
                            shown,
                            Similar.to(name, KNOWN.keySet())
                                    .map("; did you mean %s?"::formatted)
                                    .orElse("; remove it")));
        }
        if (name.equals(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG)) {
            return problemOfAddresses(value);
        }
        Object parsed;
        try {
            parsed = ConfigDef.parseType(name, value, key.type);
            if (key.validator != null) {
                key.validator.ensureValid(name, parsed);
            }
        } catch (ConfigException e) {
            return Optional.of(
                    key.type == ConfigDef.Type.PASSWORD || e.getMessage() == null
                            ? name + " has no legal value"
                            : e.getMessage());
        }
        return REFUSALS.stream()
                .filter(refusal -> refusal.setting().equals(name)
                        && parsed != null
                        && refusal.breaks().test(parsed))
                .findFirst()
                .map(refusal -> shown(name, value, key) + " " + refusal.why());
    }

    /** With its value where a value is short and no secret. */
    private static String shown(String name, Object value, ConfigDef.ConfigKey key) {
        boolean plain = key.type == ConfigDef.Type.STRING
                || key.type == ConfigDef.Type.INT
                || key.type == ConfigDef.Type.BOOLEAN;
        return plain ? name + "=" + Checks.printable(String.valueOf(value)) : name;
    }

    private static Optional<String> problemOfAddresses(Object value) {
        List<String> addresses = addresses(value);
        if (addresses.isEmpty()) {
            return Optional.of("bootstrap.servers is empty; set it to host:port, for example localhost:9092");
        }
        List<String> problems = new ArrayList<>();
        for (String address : addresses) {
            String host = Utils.getHost(address);
            Integer port = Utils.getPort(address);
            if (host == null || host.isBlank() || port == null) {
                problems.add("bootstrap.servers '%s' %s; use host:port, for example localhost:9092"
                        .formatted(
                                Checks.printable(address),
                                address.startsWith(":") ? "has no host" : "has no port or is no address"));
            } else if (port < 1 || port > 65535) {
                problems.add(
                        "bootstrap.servers '%s' has a port out of 1 to 65535".formatted(Checks.printable(address)));
            }
        }
        return problems.isEmpty() ? Optional.empty() : Optional.of(String.join("; ", problems));
    }

    /** Each address without what stands before an {@code @}: somebody may have put a password there. */
    private static List<String> addresses(@Nullable Object value) {
        List<?> entries = value instanceof List<?> list
                ? list
                : List.of(String.valueOf(value).split(","));
        return entries.stream()
                .map(entry -> String.valueOf(entry).strip())
                .filter(entry -> !entry.isEmpty())
                .map(entry -> entry.substring(entry.lastIndexOf('@') + 1))
                .toList();
    }

    private static boolean namesARemoteLoginModule(Object value) {
        String text = value instanceof Password password ? password.value() : String.valueOf(value);
        return text.contains("JndiLoginModule") || text.contains("LdapLoginModule");
    }

    private static Map<String, ConfigDef.ConfigKey> known() {
        Map<String, ConfigDef.ConfigKey> known =
                new HashMap<>(AdminClientConfig.configDef().configKeys());
        known.putAll(ConsumerConfig.configDef().configKeys());
        known.putAll(ProducerConfig.configDef().configKeys());
        return Map.copyOf(known);
    }
}
