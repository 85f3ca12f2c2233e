package dev.eventbus.topics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.catchThrowable;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.StartRefusedException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.config.types.Password;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.LoggerFactory;

class KafkaClusterTest {

    private static final String CANARY = "S3CR3T";

    private static final Map<String, Object> SECURE = Map.of(
            "bootstrap.servers",
            "localhost:9093",
            "security.protocol",
            "SASL_PLAINTEXT",
            "sasl.mechanism",
            "SCRAM-SHA-512",
            "sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"asset\" password=\"%s\";"
                    .formatted(CANARY),
            "ssl.keystore.password",
            new Password(CANARY),
            "max.poll.records",
            100,
            "linger.ms",
            "5",
            "request.timeout.ms",
            5_000);

    // ---- what is refused -----------------------------------------------------------------------------------------

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
                    acks                                  | 1                        | P2
                    acks                                  | 0                        | P2
                    enable.idempotence                    | false                    | P3
                    max.in.flight.requests.per.connection | 6                        | P3
                    retries                               | 0                        | P9
                    transactional.id                      | mine                     | P9
                    partitioner.class                     | org.apache.kafka.clients.producer.RoundRobinPartitioner | P3
                    enable.auto.commit                    | true                     | P6
                    auto.offset.reset                     | latest                   | P6
                    auto.offset.reset                     | earliest                 | P6
                    isolation.level                       | read_uncommitted         | P3
                    group.id                              | mine                     | P6
                    allow.auto.create.topics              | true                     | P2
                    interceptor.classes                   | com.acme.Interceptor     | P6
                    key.serializer                        | org.apache.kafka.common.serialization.StringSerializer | P3
                    value.serializer                      | org.apache.kafka.common.serialization.StringSerializer | P1
                    key.deserializer                      | org.apache.kafka.common.serialization.StringDeserializer | P4
                    value.deserializer                    | org.apache.kafka.common.serialization.StringDeserializer | P6
                    bootstrap.controllers                 | localhost:9093           | bootstrap.servers
                    config.providers                      | file                     | resolve secrets in your code
                    config.providers.file.class           | org.apache.kafka.common.config.provider.FileConfigProvider | resolve secrets in your code
                    sasl.jaas.config                      | com.sun.security.auth.module.JndiLoginModule required;  | login modules
                    sasl.jaas.config                      | com.sun.security.auth.module.LdapLoginModule required;  | login modules
                    ack                                   | all                      | did you mean acks?
                    bootstrap.server                      | localhost:9092           | did you mean bootstrap.servers?
                    max.poll.interval                     | 5000                     | did you mean max.poll.interval.ms?
                    colour                                | blue                     | no setting of a Kafka client
                    linger.ms                             | soon                     | linger.ms
                    request.timeout.ms                    | -1                       | request.timeout.ms
                    security.protocol                     | TLS                      | security.protocol
                    """)
    void a_setting_that_breaks_a_promise_or_means_nothing_is_refused(String setting, String value, String says) {
        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(() -> KafkaCluster.of(Map.of("bootstrap.servers", "localhost:9092", setting, value)))
                .withMessageContaining(setting)
                .withMessageContaining(says);
    }

    @Test
    void all_that_is_wrong_is_said_at_once() {
        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(
                        () -> KafkaCluster.of(Map.of("bootstrap.servers", "localhost", "acks", "1", "grup.id", "g")))
                .withMessageContainingAll("'localhost' has no port", "acks=1", "group.id?");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
                    ''                           | is empty
                    ' , '                        | is empty
                    localhost                    | has no port
                    localhost:                   | has no port
                    :9092                        | has no host
                    localhost:0                  | 1 to 65535
                    localhost:65536              | 1 to 65535
                    localhost:http               | has no port
                    a:9092,b                     | has no port
                    """)
    void a_bad_address_is_refused_in_words(String servers, String says) {
        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(() -> KafkaCluster.at(servers))
                .withMessageContaining("bootstrap.servers")
                .withMessageContaining(says)
                .withMessageContaining("localhost");
    }

    @Test
    void no_address_is_refused() {
        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(() -> KafkaCluster.of(Map.of()))
                .withMessageContaining("bootstrap.servers is missing");
    }

    @ParameterizedTest
    @ValueSource(strings = {"localhost:9092", "a:9092,b:9092", " a:9092 , b:9092 ", "[::1]:9092", "10.0.0.1:9092"})
    void good_addresses_are_taken(String servers) {
        assertThat(KafkaCluster.at(servers).bootstrapServers()).isEqualTo(servers.replace(" ", ""));
    }

    @ParameterizedTest
    @CsvSource({
        "acks, all",
        "acks, -1",
        "enable.idempotence, true",
        "max.in.flight.requests.per.connection, 5",
        "retries, 10",
        "enable.auto.commit, false",
        "isolation.level, read_committed",
        "allow.auto.create.topics, false",
        "group.instance.id, pod-1",
        "partition.assignment.strategy, org.apache.kafka.clients.consumer.RangeAssignor",
        "sasl.login.refresh.window.factor, 0.8",
        "ssl.truststore.type, PEM"
    })
    void a_setting_that_keeps_the_promises_is_taken(String setting, String value) {
        assertThat(ClientSettings.problemsOf(Map.of("bootstrap.servers", "localhost:9092", setting, value)))
                .isEmpty();
    }

    @Test
    void a_properties_file_says_as_much_as_a_map_and_so_do_its_defaults() {
        Properties defaults = new Properties();
        defaults.setProperty("bootstrap.servers", "broker-1:9093");
        defaults.setProperty("security.protocol", "PLAINTEXT");
        Properties settings = new Properties(defaults);
        settings.setProperty("security.protocol", "SSL");
        settings.put("request.timeout.ms", 5_000);

        KafkaCluster cluster = KafkaCluster.of(settings);
        assertThat(cluster.bootstrapServers()).isEqualTo("broker-1:9093");
        assertThat(cluster.setting("security.protocol", "none")).isEqualTo("SSL");
        assertThat(cluster.setting("request.timeout.ms", "none")).isEqualTo("5000");
    }

    @Test
    void a_properties_file_is_refused_for_the_same_reasons_as_a_map() {
        Properties defaults = new Properties();
        defaults.setProperty("acks", "1");
        Properties settings = new Properties(defaults);
        settings.setProperty("bootstrap.servers", "localhost");
        settings.put("retries", 0);
        settings.put("sasl.jaas.confg", CANARY);

        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(() -> KafkaCluster.of(settings))
                .withMessageContainingAll(
                        "acks=1 would break P2",
                        "retries=0 would break P9",
                        "'localhost' has no port",
                        "sasl.jaas.config?")
                .satisfies(refusal -> assertThat(refusal.getMessage()).doesNotContain(CANARY));
    }

    @Test
    void tls_and_a_login_are_settings_like_any_other() {
        String password = CANARY;
        // region: secured
        String login = """
                org.apache.kafka.common.security.scram.ScramLoginModule required
                username="asset" password="%s";""".formatted(password);
        Properties settings = new Properties();
        settings.setProperty("bootstrap.servers", "broker-1:9093,broker-2:9093");
        settings.setProperty("security.protocol", "SASL_SSL");
        settings.setProperty("ssl.truststore.type", "PEM"); // neither is needed for a public authority's certificates
        settings.setProperty("ssl.truststore.location", "/etc/asset/ca.pem");
        settings.setProperty("sasl.mechanism", "SCRAM-SHA-512");
        settings.setProperty("sasl.jaas.config", login);
        KafkaCluster kafka = KafkaCluster.of(settings).named("kafka-events");
        // end: secured

        assertThat(kafka.setting("sasl.jaas.config", "none")).isEqualTo(login);
        assertThat(kafka).hasToString("kafka-events (broker-1:9093,broker-2:9093)");
    }

    @ParameterizedTest
    @ValueSource(strings = {"http://169.254.169.254/latest/meta-data", "file:///etc/passwd"})
    void S_05_no_client_is_made_for_an_address_of_oauth_that_is_not_in_the_list_of_kafkas_client(String address) {
        KafkaCluster kafka = KafkaCluster.of(Map.of(
                "bootstrap.servers",
                "localhost:1",
                "security.protocol",
                "SASL_PLAINTEXT",
                "sasl.mechanism",
                "OAUTHBEARER",
                "sasl.login.callback.handler.class",
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
                "sasl.jaas.config",
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId=\"asset\" clientSecret=\"%s\";"
                        .formatted(CANARY),
                "sasl.oauthbearer.token.endpoint.url",
                address));
        List<ThrowingCallable> clients =
                List.of(kafka::admin, () -> kafka.producer(Map.of()), () -> kafka.consumer(Map.of("group.id", "g")));

        assertThat(clients).allSatisfy(client -> {
            KafkaAccessException told =
                    KafkaFaults.explain(kafka, catchThrowable(client), "the events wait in the outbox");
            assertThat(told.code()).isEqualTo(ErrorCode.ADDRESS_UNUSABLE);
            assertThat(told)
                    .message()
                    .contains(
                            "sasl.oauthbearer.token.endpoint.url",
                            address,
                            "system property 'org.apache.kafka.sasl.oauthbearer.allowed.urls'")
                    .doesNotContain(CANARY);
        });
    }

    // ---- secrets -------------------------------------------------------------------------------------------------

    @Test
    void no_secret_is_in_a_text() {
        KafkaCluster cluster = KafkaCluster.of(SECURE).named("kafka-events");
        assertThat(cluster.toString()).isEqualTo("kafka-events (localhost:9093)");
        assertThat(ClientSettings.checked(SECURE).toString())
                .doesNotContain(CANARY)
                .contains("sasl.jaas.config");

        Map<String, Object> wrong = new HashMap<>(SECURE);
        wrong.put("bootstrap.servers", "user:" + CANARY + "@localhost");
        wrong.put("sasl.jaas.config", "JndiLoginModule required password=" + CANARY);
        wrong.put("ssl.key.password", List.of(CANARY));
        wrong.put("sasl.jaas.confg", CANARY);
        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(() -> KafkaCluster.of(wrong))
                .satisfies(refusal -> assertThat(refusal.getMessage())
                        .contains(
                                "'localhost'", "sasl.jaas.config", "ssl.key.password", "did you mean sasl.jaas.config?")
                        .doesNotContain(CANARY));
    }

    @Test
    void switching_off_host_name_checks_is_not_silent() {
        ListAppender<ILoggingEvent> log = listen(ClientSettings.class);
        KafkaCluster.of(Map.of("bootstrap.servers", "a:9093", "ssl.endpoint.identification.algorithm", ""));
        KafkaCluster.of(Map.of("bootstrap.servers", "a:9093", "ssl.endpoint.identification.algorithm", "https"));

        assertThat(log.list)
                .singleElement()
                .satisfies(line -> assertThat(line.getFormattedMessage()).contains("can pose as a broker"));
    }

    // ---- what each client gets -----------------------------------------------------------------------------------

    @Test
    void a_producer_gets_what_it_knows_and_what_it_must_have() {
        Map<String, Object> settings = ClientSettings.checked(SECURE).forProducer(Map.of("client.id", "relay"));

        assertThat(settings)
                .containsEntry("acks", "all")
                .containsEntry("enable.idempotence", true)
                .containsEntry("compression.type", "lz4")
                .containsEntry("linger.ms", "5")
                .containsEntry("client.id", "relay")
                .containsKey("sasl.jaas.config")
                .doesNotContainKeys("max.poll.records", "isolation.level");
        assertThat(ClientSettings.checked(Map.of("bootstrap.servers", "a:1", "compression.type", "zstd"))
                        .forProducer(Map.of()))
                .containsEntry("compression.type", "zstd");
    }

    @Test
    void a_consumer_gets_what_it_knows_and_what_it_must_have() {
        Map<String, Object> settings = ClientSettings.checked(SECURE).forConsumer(Map.of("max.poll.records", 500));

        assertThat(settings)
                .containsEntry("isolation.level", "read_committed")
                .containsEntry("enable.auto.commit", false)
                .containsEntry("auto.offset.reset", "none")
                .containsEntry("allow.auto.create.topics", false)
                .containsEntry("max.poll.records", 500)
                .doesNotContainKeys("linger.ms", "acks");
    }

    @Test
    void clients_are_made_without_a_word_about_unknown_settings() {
        List<ListAppender<ILoggingEvent>> logs = new ArrayList<>();
        for (String config : List.of("producer.ProducerConfig", "consumer.ConsumerConfig", "admin.AdminClientConfig")) {
            logs.add(listen("org.apache.kafka.clients." + config));
        }
        KafkaCluster cluster = KafkaCluster.of(SECURE);
        try (Producer<byte[], byte[]> producer = cluster.producer(Map.of());
                Consumer<byte[], byte[]> consumer = cluster.consumer(Map.of("group.id", "g"));
                Admin admin = cluster.admin()) {
            assertThat(List.of(producer, consumer, admin)).doesNotContainNull();
        }

        assertThat(logs)
                .allSatisfy(log -> assertThat(log.list)
                        .filteredOn(line -> line.getLevel().isGreaterOrEqual(Level.WARN))
                        .isEmpty());
        assertThat(logs).allSatisfy(log -> assertThat(log.list.toString()).doesNotContain(CANARY));
    }

    // ---- names ---------------------------------------------------------------------------------------------------

    @Test
    void a_prefix_stands_before_every_topic_and_is_taken_off_again() {
        KafkaCluster plain = KafkaCluster.at("localhost:9092");
        KafkaCluster staging = plain.named("kafka-events").topicPrefix("staging.");

        assertThat(plain.name()).isEqualTo("kafka");
        assertThat(plain.physicalTopic("asset.events")).isEqualTo("asset.events");
        assertThat(staging.name()).isEqualTo("kafka-events");
        assertThat(staging.physicalTopic("asset.events")).isEqualTo("staging.asset.events");
        assertThat(staging.logicalTopic("staging.asset.events")).isEqualTo("asset.events");
        assertThat(staging.logicalTopic("other.events")).isEqualTo("other.events");
        assertThat(staging.topicPrefix("").physicalTopic("a")).isEqualTo("a");
    }

    @Test
    void a_bad_name_or_prefix_is_refused() {
        KafkaCluster cluster = KafkaCluster.at("localhost:9092");

        assertThatIllegalArgumentException().isThrownBy(() -> cluster.named(" "));
        assertThatIllegalArgumentException()
                .as("topic 'eu.events' of 'kafka' is recorded like topic 'events' of that")
                .isThrownBy(() -> cluster.named("kafka.eu"))
                .withMessage("name of the cluster must not be blank or have a dot, was 'kafka.eu'");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> cluster.topicPrefix("stag ing."))
                .withMessageContaining("topicPrefix");
    }

    private static ListAppender<ILoggingEvent> listen(Class<?> type) {
        return listen(type.getName());
    }

    private static ListAppender<ILoggingEvent> listen(String logger) {
        ListAppender<ILoggingEvent> log = new ListAppender<>();
        log.start();
        ((Logger) LoggerFactory.getLogger(logger)).addAppender(log);
        return log;
    }
}
