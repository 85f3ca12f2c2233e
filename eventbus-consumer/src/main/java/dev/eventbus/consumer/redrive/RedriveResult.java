package dev.eventbus.consumer.redrive;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What came of a run.
 *
 * @param id of its line in {@code eventbus_redrive}, and in the log
 * @param planned events that could be redriven when it was planned
 * @param handedOver events that went to the group by this run
 * @param applied of these, how many have had their effect by now; without an inbox nobody knows, and it is 0
 * @param failedAgain of these, how many have failed again by now and are back in their places; without an inbox, how many Kafka has refused
 * @param waiting of these, how many are not dealt with yet; without an inbox nobody knows, and it is 0
 * @param unknown without an inbox, how many were sent and not answered: they may be in their topics or not. Another run of the plan finds
 *     out: it leaves alone what it finds there, and sends the rest
 * @param discarded events that were given up by this run
 * @param leftAlone events that were not touched, and why
 * @param refused which the inbox's database has refused, and why, safe to print; at most 100
 * @param stopped why it ended before its plan; empty if it did not
 */
public record RedriveResult(
        String id,
        long planned,
        long handedOver,
        long applied,
        long failedAgain,
        long waiting,
        long unknown,
        long discarded,
        Map<Standing, Long> leftAlone,
        List<String> refused,
        Optional<String> stopped) {

    public RedriveResult {
        leftAlone = Map.copyOf(leftAlone);
        refused = List.copyOf(refused);
    }

    /** How many events were not touched for this reason. */
    public long leftAlone(Standing standing) {
        return leftAlone.getOrDefault(standing, 0L);
    }
}
