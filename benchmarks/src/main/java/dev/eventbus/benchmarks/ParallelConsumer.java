package dev.eventbus.benchmarks;

import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import io.confluent.parallelconsumer.RecordContext;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * parallel-consumer, ordered by key, with as many threads as we have. A failed record is tried again as ours is, and given up after
 * the fourth attempt. Keys are text: of byte arrays this version knows the identity only.
 */
final class ParallelConsumer implements Consuming {

    private static final int ATTEMPTS = 4;
    private static final long FIRST_MILLIS = 200;
    private static final long MOST_EVENTS = 100_000;

    private final String name;
    private final int concurrency;

    ParallelConsumer(String name, int concurrency) {
        this.name = name;
        this.concurrency = concurrency;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public boolean isPeer() {
        return true;
    }

    @Override
    public long share(long events) {
        return Math.min(MOST_EVENTS, events);
    }

    @Override
    public Running start(Servers servers, Backlog backlog, String group, Handler handler) {
        KafkaConsumer<String, byte[]> consumer = new KafkaConsumer<>(
                Map.of(
                        "bootstrap.servers",
                        servers.bootstrapServers(),
                        "group.id",
                        group,
                        "enable.auto.commit",
                        false,
                        "auto.offset.reset",
                        "earliest",
                        "isolation.level",
                        "read_committed"),
                new StringDeserializer(),
                new ByteArrayDeserializer());
        ParallelStreamProcessor<String, byte[]> processor =
                ParallelStreamProcessor.createEosStreamProcessor(ParallelConsumerOptions.<String, byte[]>builder()
                        .consumer(consumer)
                        .ordering(ProcessingOrder.KEY)
                        .maxConcurrency(concurrency)
                        .ignoreReflectiveAccessExceptionsForAutoCommitDisabledCheck(true)
                        .retryDelayProvider(failed ->
                                Duration.ofMillis(FIRST_MILLIS << Math.max(0, failed.getNumberOfFailedAttempts() - 1)))
                        .build());
        processor.subscribe(List.of(backlog.topic()));
        processor.poll(polled -> handle(polled.getSingleRecord(), handler));
        return processor::closeDontDrainFirst;
    }

    private static void handle(RecordContext<String, byte[]> record, Handler handler) {
        if (record.getNumberOfFailedAttempts() >= ATTEMPTS) {
            return;
        }
        try {
            handler.handle(SampleEvents.numberOf(record.value()));
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }
}
