package dev.eventbus.testkit;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.TopicPartition;

/** What is to go wrong, asked where it would. Guarded by "this". */
final class FaultPlan {

    enum Call {
        HANDLER_OF_KEY,
        SEND_TO_TOPIC,
        COMMIT_OF_GROUP
    }

    private record Target(Call call, String of) {}

    private final Map<Target, Integer> failures = new HashMap<>();
    private final Set<String> topicsDown = new HashSet<>();
    private final Set<TopicPartition> partitionsDown = new HashSet<>();

    /** The next {@code times} such calls fail. */
    synchronized void fail(Call call, String of, int times) {
        failures.put(new Target(call, of), times);
    }

    /** Whether this call is one that was to fail; counts it. */
    synchronized boolean takes(Call call, String of) {
        Target target = new Target(call, of);
        int left = failures.getOrDefault(target, 0);
        if (left > 0) {
            failures.put(target, left - 1);
        }
        return left > 0;
    }

    synchronized void down(String topic) {
        topicsDown.add(topic);
    }

    synchronized void down(TopicPartition partition) {
        partitionsDown.add(partition);
    }

    synchronized void up(String topic) {
        topicsDown.remove(topic);
        partitionsDown.removeIf(partition -> partition.topic().equals(topic));
    }

    synchronized boolean isDown(TopicPartition partition) {
        return topicsDown.contains(partition.topic()) || partitionsDown.contains(partition);
    }
}
