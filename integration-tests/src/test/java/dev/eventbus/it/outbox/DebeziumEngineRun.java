package dev.eventbus.it.outbox;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.eventbus.embedded.PostgresServer;
import io.debezium.embedded.Connect;
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import java.net.URI;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigTransformer;
import org.apache.kafka.common.config.provider.ConfigProvider;
import org.apache.kafka.common.config.provider.EnvVarConfigProvider;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.HeaderConverter;

/**
 * A connector in this process, of which nothing but the generated JSON is known: its placeholders are filled from an environment, its
 * transformation routes, and its converters make the bytes, as in a worker of Kafka Connect. The engine's thread hands each record over.
 */
final class DebeziumEngineRun implements AutoCloseable {

    private static final long SECONDS = 60;

    private final Map<String, String> config = new HashMap<>();
    private final Converter keys;
    private final Converter values;
    private final HeaderConverter headers;
    private final DebeziumEngine<ChangeEvent<SourceRecord, SourceRecord>> engine;
    private final ExecutorService thread = Executors.newSingleThreadExecutor();
    private final CountDownLatch polling = new CountDownLatch(1);
    private final List<String> failures = new CopyOnWriteArrayList<>();

    /** Returns when the slot is there and the connector reads from it. */
    DebeziumEngineRun(String json, Map<String, String> environment, Consumer<ProducerRecord<byte[], byte[]>> sink)
            throws Exception {
        JsonNode connector = new ObjectMapper().readTree(json);
        connector
                .get("config")
                .properties()
                .forEach(setting ->
                        config.put(setting.getKey(), setting.getValue().textValue()));
        ConfigProvider variables = new EnvVarConfigProvider(environment);
        variables.configure(Map.of());
        Map<String, String> filled = new ConfigTransformer(Map.of("env", variables))
                .transform(config)
                .data();
        keys = made("key.converter", Converter.class);
        keys.configure(Map.of(), true);
        values = made("value.converter", Converter.class);
        values.configure(Map.of(), false);
        headers = made("header.converter", HeaderConverter.class);
        Properties settings = new Properties();
        settings.putAll(filled);
        settings.put("name", connector.get("name").textValue());
        settings.put("offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore");
        settings.put("offset.flush.interval.ms", "100");
        settings.put("poll.interval.ms", "10");
        engine = DebeziumEngine.create(Connect.class)
                .using(settings)
                .using(new DebeziumEngine.ConnectorCallback() {
                    @Override
                    public void pollingStarted() {
                        polling.countDown();
                    }
                })
                .using((success, message, error) -> {
                    if (!success) {
                        failures.add(message + ": " + error);
                    }
                    polling.countDown();
                })
                .notifying(event -> sink.accept(message(event.value())))
                .build();
        thread.execute(engine);
        if (!polling.await(SECONDS, TimeUnit.SECONDS) || !failures.isEmpty()) {
            throw new IllegalStateException("the connector did not begin to poll " + failures);
        }
    }

    /** What a worker's operator puts into its environment for a connector of this name. */
    static Map<String, String> environment(String name, String jdbcUrl, PostgresServer server, String user) {
        URI address = URI.create(server.jdbcUrl().substring("jdbc:".length()));
        String prefix = name.toUpperCase(Locale.ROOT) + "_DATABASE_";
        return Map.of(
                prefix + "HOSTNAME", address.getHost(),
                prefix + "PORT", Integer.toString(address.getPort()),
                prefix + "DBNAME", jdbcUrl.substring(jdbcUrl.lastIndexOf('/') + 1),
                prefix + "USER", user,
                prefix + "PASSWORD", "secret");
    }

    private <T> T made(String setting, Class<T> type) throws ReflectiveOperationException {
        return type.cast(Class.forName(config.get(setting)).getConstructor().newInstance());
    }

    private ProducerRecord<byte[], byte[]> message(SourceRecord event) {
        ProducerRecord<byte[], byte[]> message = new ProducerRecord<>(
                event.topic(),
                keys.fromConnectData(event.topic(), event.keySchema(), event.key()),
                values.fromConnectData(event.topic(), event.valueSchema(), event.value()));
        event.headers()
                .forEach(header -> message.headers()
                        .add(
                                header.key(),
                                headers.fromConnectHeader(
                                        event.topic(), header.key(), header.schema(), header.value())));
        return message;
    }

    List<String> failures() {
        return failures;
    }

    @Override
    public void close() throws Exception {
        engine.close();
        thread.shutdown();
        if (!thread.awaitTermination(SECONDS, TimeUnit.SECONDS)) {
            throw new IllegalStateException("the engine did not end");
        }
    }
}
