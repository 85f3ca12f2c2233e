package dev.eventbus.topics;

import java.util.Collection;

/** A file of alert rules for Prometheus. */
final class AlertRules {

    private static final int MOST_LAG = 10_000;
    private static final int OLDEST_SECONDS = 60;
    private static final int INDENT = 6;

    /** What an alert says; names of groups and outboxes come from the label, since Prometheus takes braces in these texts for a template. */
    private record Rule(String name, String expression, String lasting, String severity, String summary) {

        String yaml() {
            return """
                    - alert: %s
                      expr: %s
                      for: %s
                      labels:
                        severity: %s
                      annotations:
                        summary: %s
                    """.formatted(name, Quoted.yaml(expression), lasting, severity, Quoted.yaml(summary))
                    .indent(INDENT);
        }
    }

    private AlertRules() {}

    static String yaml(Collection<String> outboxes, Collection<String> groups) {
        StringBuilder file = new StringBuilder("""
                groups:
                  - name: eventbus
                    rules:
                """);
        file.append(underReplicated().yaml());
        for (String outbox : outboxes) {
            String matcher = MeterQueries.is("outbox", outbox);
            file.append(oldestRow(matcher).yaml());
            file.append(unknownOutbox(matcher).yaml());
            file.append(blockedKeys(matcher).yaml());
            file.append(waitingTopics(matcher).yaml());
        }
        for (String group : groups) {
            String matcher = MeterQueries.is("group", group);
            file.append(lag(matcher).yaml());
            file.append(silence(matcher).yaml());
            file.append(deadLetters(matcher).yaml());
            file.append(parkedKeys(matcher).yaml());
            file.append(pausedPartitions(matcher).yaml());
            file.append(offsetGaps(matcher).yaml());
        }
        return file.toString();
    }

    private static Rule underReplicated() {
        return new Rule(
                "KafkaUnderReplicatedPartitions",
                MeterQueries.UNDER_REPLICATED + " > 0",
                "5m",
                "warning",
                "{{ $value }} partitions of {{ $labels.instance }} lack a replica: a broker is down or behind. Events wait when fewer are in sync than min.insync.replicas says; where that is 1, an event may be on one disk only and is lost with it");
    }

    private static Rule oldestRow(String outbox) {
        return new Rule(
                "EventbusOutboxOldestRow",
                "%s > %d".formatted(MeterQueries.oldestRow(outbox), OLDEST_SECONDS),
                "2m",
                "critical",
                "Events of outbox {{ $labels.outbox }} wait for {{ $value }} s: no relay runs, the database or Kafka is down, or a topic waits. health() of the relays says which");
    }

    private static Rule unknownOutbox(String outbox) {
        return new Rule(
                "EventbusOutboxUnknown",
                MeterQueries.unknown(MeterQueries.OLDEST_ROW, "outbox", outbox),
                "2m",
                "critical",
                "Nobody knows how long events of outbox {{ $labels.outbox }} wait: no service reports it, or its database does not answer");
    }

    private static Rule blockedKeys(String outbox) {
        return new Rule(
                "EventbusBlockedKeys",
                MeterQueries.most(MeterQueries.BLOCKED_KEYS, "outbox", outbox) + " > 0",
                "5m",
                "warning",
                "{{ $value }} keys of outbox {{ $labels.outbox }} wait for a person: OutboxAdmin.blocked() or eventbus-cli outbox blocked names the events and why; mend the cause and unblock, or discard");
    }

    private static Rule waitingTopics(String outbox) {
        return new Rule(
                "EventbusWaitingTopics",
                MeterQueries.most(MeterQueries.WAITING_TOPICS, "outbox", outbox) + " > 0",
                "5m",
                "warning",
                "A relay of outbox {{ $labels.outbox }} cannot write to {{ $value }} topics: they are missing, forbidden or without a leader. Their events wait; health() of the relay has the fix");
    }

    private static Rule lag(String group) {
        return new Rule(
                "EventbusGroupLag",
                "%s > %d".formatted(MeterQueries.lag(group), MOST_LAG),
                "5m",
                "warning",
                "Group {{ $labels.group }} is {{ $value }} records behind: it does not keep up, or a record holds it up. runner.explain(topic, partition) names that record");
    }

    private static Rule silence(String group) {
        return new Rule(
                "EventbusGroupSilent",
                MeterQueries.unknown(MeterQueries.LAG, "group", group),
                "10m",
                "critical",
                "No runner of group {{ $labels.group }} knows a lag: none runs, none is scraped, or Kafka does not answer");
    }

    private static Rule deadLetters(String group) {
        return new Rule(
                "EventbusDeadLetters",
                MeterQueries.fresh(MeterQueries.DEAD_LETTERS, "10m", "group, topic", group) + " > 0",
                "0m",
                "warning",
                "Events of topic {{ $labels.topic }} fail for good in group {{ $labels.group }}: look into the dead-letter topic, mend the cause, redrive");
    }

    private static Rule parkedKeys(String group) {
        return new Rule(
                "EventbusParkedKeys",
                MeterQueries.most(MeterQueries.PARKED_KEYS, "group", group) + " > 0",
                "10m",
                "warning",
                "{{ $value }} keys of group {{ $labels.group }} are parked, and their later events with them: mend the cause, then redrive or discard them. eventbus-cli parked list has them");
    }

    private static Rule pausedPartitions(String group) {
        return new Rule(
                "EventbusPausedPartitions",
                MeterQueries.most(MeterQueries.PAUSED_PARTITIONS, "group", group) + " > 0",
                "10m",
                "warning",
                "A runner of group {{ $labels.group }} has not read {{ $value }} of its partitions for minutes: a policy has stopped them, or a record holds them up. health() of the runner says which and why");
    }

    private static Rule offsetGaps(String group) {
        return new Rule(
                "EventbusOffsetGap",
                MeterQueries.fresh(MeterQueries.OFFSET_GAPS, "1h", "group, topic", group) + " > 0",
                "0m",
                "critical",
                "Records of topic {{ $labels.topic }} were gone before group {{ $labels.group }} had read them: its log names the offsets. What lies between is lost to this group");
    }
}
