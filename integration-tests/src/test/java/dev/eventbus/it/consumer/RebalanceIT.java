package dev.eventbus.it.consumer;

import static dev.eventbus.it.consumer.Traffic.USERS;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Runners come and go under load; every protocol of Kafka's groups has to pass the same tests. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class RebalanceIT {

    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "classic-eager, partition.assignment.strategy, org.apache.kafka.clients.consumer.RangeAssignor",
        "classic-cooperative-sticky, group.protocol, classic",
        "consumer-protocol, group.protocol, consumer"
    })
    void runners_that_take_over_from_each_other_lose_repeat_and_reorder_nothing(
            String protocol, String setting, String value, KafkaServer server) throws Exception {
        int events = 150;
        Traffic traffic = Traffic.create(server, protocol, setting, value);
        try (ConsumerRunner first = traffic.runner().start();
                ConsumerRunner second = traffic.runner();
                ConsumerRunner third = traffic.runner()) {
            traffic.publish(0, events / 3);
            Eventually.holds(() -> traffic.count.get() > USERS, () -> traffic.count);

            second.start();
            Eventually.holds(() -> holdsSome(first) && holdsSome(second), () -> first.health() + " " + second.health());

            CompletableFuture<Void> load = CompletableFuture.runAsync(() -> traffic.publish(events / 3, events));
            third.start();
            first.close(Duration.ofSeconds(20));
            load.get();
            Eventually.holds(
                    () -> traffic.isDone(events),
                    () -> traffic.count + " handled, " + traffic.committed() + " committed; " + second.health());
        }
        traffic.assertNothingLostOrReordered(events);
        assertThat(traffic.count).as("nothing is repeated").hasValue(USERS * events);
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "storm-eager, partition.assignment.strategy, org.apache.kafka.clients.consumer.RangeAssignor",
        "storm-cooperative-sticky, group.protocol, classic",
        "storm-consumer-protocol, group.protocol, consumer"
    })
    void a_storm_of_rebalances_loses_and_reorders_nothing_and_a_calm_ends_all_lag(
            String protocol, String setting, String value, KafkaServer server) throws Exception {
        int rounds = 7;
        int eventsARound = 30;
        Traffic traffic = Traffic.create(server, protocol, setting, value);
        ArrayDeque<ConsumerRunner> group = new ArrayDeque<>();
        ScheduledExecutorService storm = Executors.newSingleThreadScheduledExecutor();
        try {
            group.add(traffic.runner().start());
            group.add(traffic.runner().start());
            CountDownLatch over = new CountDownLatch(rounds);
            var unused = storm.scheduleAtFixedRate(
                    () -> {
                        int round = rounds - (int) over.getCount();
                        if (round < rounds) {
                            move(group, traffic, round);
                            traffic.publish(round * eventsARound, (round + 1) * eventsARound);
                            over.countDown();
                        }
                    },
                    0,
                    2,
                    TimeUnit.SECONDS);
            assertThat(over.await(3, TimeUnit.MINUTES)).isTrue();
            storm.shutdown();
            Eventually.holds(
                    () -> traffic.isDone(rounds * eventsARound),
                    () -> traffic.count + " handled, " + traffic.committed() + " committed; "
                            + group.stream().map(ConsumerRunner::health).toList());
        } finally {
            storm.shutdownNow();
            group.forEach(runner -> runner.close(Duration.ofSeconds(10)));
        }
        traffic.assertNothingLostOrReordered(rounds * eventsARound);
    }

    /** One joins or leaves; there are two to four. */
    private static void move(Queue<ConsumerRunner> group, Traffic traffic, int round) {
        if (group.size() < 3 || round % 3 == 0 && group.size() < 4) {
            group.add(traffic.runner().start());
        } else {
            group.remove().close(Duration.ofSeconds(10));
        }
    }

    private static boolean holdsSome(ConsumerRunner runner) {
        return !runner.health().partitions().isEmpty();
    }
}
