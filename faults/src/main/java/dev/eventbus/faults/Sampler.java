package dev.eventbus.faults;

import dev.eventbus.faults.check.Ending;
import dev.eventbus.faults.check.Findings;
import dev.eventbus.faults.check.History.Position;
import dev.eventbus.faults.check.Look;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;

/**
 * Looks every two seconds while faults last: reads the group's offsets and only then the effects, so an event that an offset has
 * passed must have its effect. Faults that hit the sampler itself cost a look.
 */
final class Sampler implements AutoCloseable {

    private static final Duration EVERY = Duration.ofSeconds(2);
    private static final Duration READS_WITHIN = Duration.ofSeconds(5);
    private static final long ENDS_WITHIN_SECONDS = 60;

    private final Witness witness;
    private final Function<String, Ending> endings;
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor();
    private final TopicReader reader;
    private final Admin admin;

    // Of the thread; read when it has ended.
    private final Map<TopicPartition, Long> checked = new HashMap<>();
    private final Findings findings = new Findings();
    private int looks; // that saw all
    private int missedLooks;

    Sampler(Servers servers, Function<String, Ending> endings) {
        this.endings = endings;
        this.witness = new Witness(servers);
        this.reader = new TopicReader(servers.bootstrapServers());
        this.admin = servers.admin();
        TopicReader.partitions().forEach(partition -> checked.put(partition, 0L));
        var unused = thread.scheduleWithFixedDelay(this::look, 0, EVERY.toMillis(), TimeUnit.MILLISECONDS);
    }

    private void look() {
        try {
            compare();
        } catch (SQLException | KafkaException | ExecutionException | TimeoutException e) {
            missedLooks++;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException e) {
            missedLooks++;
            System.err.println("sampler: " + e);
        }
    }

    private void compare() throws SQLException, ExecutionException, InterruptedException, TimeoutException {
        Map<TopicPartition, Long> committed = Witness.committed(admin);
        committed.keySet().retainAll(checked.keySet());
        Map<TopicPartition, Long> from = new HashMap<>(checked);
        from.keySet().retainAll(committed.keySet());
        Map<Integer, Long> offsets = new HashMap<>();
        committed.forEach((partition, offset) -> offsets.put(partition.partition(), offset));
        Look look = new Look(offsets, endings);
        boolean all = reader.read(
                from,
                committed,
                READS_WITHIN,
                record -> look.saw(TopicReader.id(record), new Position(record.partition(), record.offset())));
        if (!all) {
            missedLooks++;
            return;
        }
        looks++;
        findings.addAll(look.judge(witness.withoutEffect(look.passed())));
        checked.putAll(committed);
    }

    /** Ends it; then its findings may be asked for. */
    @Override
    public void close() throws InterruptedException {
        thread.shutdown();
        if (thread.awaitTermination(ENDS_WITHIN_SECONDS, TimeUnit.SECONDS)) {
            reader.close();
            admin.close();
        } else {
            thread.shutdownNow();
        }
    }

    Findings findings() {
        return findings;
    }

    int looks() {
        return looks;
    }

    int missedLooks() {
        return missedLooks;
    }
}
