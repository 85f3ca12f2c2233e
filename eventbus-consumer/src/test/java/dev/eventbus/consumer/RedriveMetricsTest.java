package dev.eventbus.consumer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.metrics.RedriveMetrics;
import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.consumer.redrive.Standing;
import io.micrometer.core.instrument.Meter;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class RedriveMetricsTest {

    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();

    @Test
    void what_redrives_come_to_adds_up_and_is_gone_when_they_are_closed() {
        try (RedriveMetrics metrics = RedriveMetrics.of(registry, "ledger")) {
            assertThat(registry.getMeters()).hasSize(5);
            metrics.ended(result(5, 3, 1, 0, Map.of(Standing.REFUSED, 2L)));
            metrics.ended(result(1, 1, 0, 4, Map.of(Standing.REFUSED, 1L, Standing.HELD, 1L)));
            assertThat(count("handed.over")).isEqualTo(6);
            assertThat(count("applied")).isEqualTo(4);
            assertThat(count("failed")).isEqualTo(1);
            assertThat(count("discarded")).isEqualTo(4);
            assertThat(registry.get("eventbus.redrive.left.alone")
                            .tag("standing", "REFUSED")
                            .tag("group", "ledger")
                            .counter()
                            .count())
                    .isEqualTo(3);
        }
        assertThat(registry.getMeters()).extracting(Meter::getId).isEmpty();
    }

    private double count(String name) {
        return registry.get("eventbus.redrive." + name)
                .tag("group", "ledger")
                .counter()
                .count();
    }

    private static RedriveResult result(
            long handedOver, long applied, long failed, long discarded, Map<Standing, Long> leftAlone) {
        return new RedriveResult(
                "id", 9, handedOver, applied, failed, 0, 0, discarded, leftAlone, List.of(), Optional.empty());
    }
}
