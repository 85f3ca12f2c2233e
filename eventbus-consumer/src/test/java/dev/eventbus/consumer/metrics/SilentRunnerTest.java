package dev.eventbus.consumer.metrics;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.RunnerHealth;
import dev.eventbus.consumer.RunnerHealth.Parked;
import dev.eventbus.consumer.RunnerHealth.PartitionHealth;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.RunnerListener;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** What gauges show of a runner whose polling thread is held, so that it says nothing. */
class SilentRunnerTest {

    private final AtomicLong nanos = new AtomicLong(Long.MAX_VALUE - 1); // it may run over at any time
    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
    private final ConsumerMetrics metrics = new ConsumerMetrics(registry, "g", nanos::get);
    private final RunnerListener runner = metrics.ofRunner();
    private final RunnerListener beside = metrics.ofRunner();

    private static RunnerHealth lagging(int partition, long lag) {
        PartitionHealth one = new PartitionHealth("asset.events", partition, 9, 9, lag, 0, 0, null, null);
        return new RunnerHealth(Status.UP, List.of(), List.of(one), 0, 0, null, new Parked(0, 0));
    }

    private double lag(int partition) {
        return registry.get("eventbus.consumer.lag")
                .tag("partition", Integer.toString(partition))
                .gauge()
                .value();
    }

    @Test
    void how_far_it_lags_nobody_knows_until_it_speaks_again() {
        runner.observed(lagging(0, 7));
        beside.observed(lagging(1, 8));
        nanos.addAndGet(ConsumerMetrics.SILENT.toNanos());
        assertThat(lag(0)).as("as in a long hand-over").isEqualTo(7);
        beside.observed(lagging(1, 9));
        nanos.addAndGet(1);
        assertThat(lag(0)).isNaN();
        assertThat(lag(1)).isEqualTo(9);
        runner.observed(lagging(0, 6));
        assertThat(lag(0)).isEqualTo(6);
    }
}
