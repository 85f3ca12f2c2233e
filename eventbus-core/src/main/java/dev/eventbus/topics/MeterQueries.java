package dev.eventbus.topics;

import java.util.Collection;
import java.util.stream.Collectors;

/**
 * Queries in PromQL on the meters of {@code docs/metrics.md}, under the names that Micrometer's registry for Prometheus gives them. Matchers are
 * given without braces.
 */
final class MeterQueries {

    static final String LAG = "eventbus_consumer_lag_records";
    static final String OLDEST_ROW = "eventbus_outbox_oldest_age_seconds";
    static final String DEAD_LETTERS = "eventbus_dlq_published_messages_total";
    static final String SENT = "eventbus_relay_sent_messages_total";
    static final String BLOCKED_KEYS = "eventbus_outbox_blocked_keys";
    static final String WAITING_TOPICS = "eventbus_relay_waiting_topics";
    static final String PARKED_KEYS = "eventbus_consumer_parked_keys";
    static final String PAUSED_PARTITIONS = "eventbus_consumer_paused_partitions";
    static final String OFFSET_GAPS = "eventbus_consumer_offset_gaps_total";
    static final String HANDLED = "eventbus_consumer_process_seconds_count";

    /** Not a meter of this library: what the examples of the JMX exporter and of Strimzi make of Kafka's own figure. */
    static final String UNDER_REPLICATED = "kafka_server_replicamanager_underreplicatedpartitions";

    private MeterQueries() {}

    static String is(String label, String value) {
        return label + "=" + Quoted.promql(value);
    }

    static String isOneOf(String label, Collection<String> values) {
        return label + "=~" + Quoted.promql(values.stream().map(Quoted::regex).collect(Collectors.joining("|")));
    }

    /** A lag that is not known is NaN, which would make NaN of the whole sum: a comparison leaves it out. */
    static String lag(String matchers) {
        return "sum by (group) (%s{%s} >= 0)".formatted(LAG, matchers);
    }

    /** No series, or none that has a value: a gauge that is not known is NaN. */
    static String unknown(String gauge, String by, String matchers) {
        String series = "%s{%s}".formatted(gauge, matchers);
        return "absent(%s) or (count by (%s) (%s) unless count by (%s) (%s >= 0))"
                .formatted(series, by, series, by, series);
    }

    static String oldestRow(String matchers) {
        return most(OLDEST_ROW, "outbox", matchers);
    }

    static String perSecond(String counter, String by, String matchers) {
        return "sum by (%s) (rate(%s{%s}[5m]))".formatted(by, counter, matchers);
    }

    /** Of a gauge that several processes report. */
    static String most(String gauge, String by, String matchers) {
        return "max by (%s) (%s{%s})".formatted(by, gauge, matchers);
    }

    /** A counter begins with the first that it counts, of which an increase knows nothing: a series that is new counts as a whole. */
    static String fresh(String of, String window, String by, String matchers) {
        String counter = "%s{%s}".formatted(of, matchers);
        return "sum by (%s) ((%s unless %s offset %s) or increase(%s[%s]))"
                .formatted(by, counter, counter, window, counter, window);
    }
}
