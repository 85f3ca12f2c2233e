package dev.eventbus.topics;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/** A dashboard for Grafana, in the JSON that it imports. */
final class GrafanaDashboard {

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int WIDTH = 12;
    private static final int HEIGHT = 8;

    /** @param unit one of Grafana's own */
    private record Panel(String title, String query, String legend, String unit) {

        ObjectNode json(int index) {
            ObjectNode panel = node();
            panel.put("id", index + 1).put("type", "timeseries").put("title", title);
            panel.set("datasource", datasource());
            panel.putObject("gridPos")
                    .put("h", HEIGHT)
                    .put("w", WIDTH)
                    .put("x", index % 2 * WIDTH)
                    .put("y", index / 2 * HEIGHT);
            panel.putObject("fieldConfig")
                    .putObject("defaults")
                    .put("unit", unit)
                    .put("min", 0);
            ObjectNode target = panel.putArray("targets").addObject();
            target.put("refId", "A").put("expr", query).put("legendFormat", legend);
            target.set("datasource", datasource());
            return panel;
        }
    }

    private GrafanaDashboard() {}

    static String json(Collection<String> topics, Collection<String> outboxes, Collection<String> groups) {
        ObjectNode dashboard = node();
        dashboard
                .put("title", "eventbus: topics, groups, outbox")
                .put("schemaVersion", 39)
                .put("editable", true)
                .put("refresh", "30s");
        dashboard.putObject("time").put("from", "now-6h").put("to", "now");
        dashboard
                .putObject("templating")
                .putArray("list")
                .addObject()
                .put("name", "datasource")
                .put("label", "Prometheus")
                .put("type", "datasource")
                .put("query", "prometheus");
        ArrayNode panels = dashboard.putArray("panels");
        panels(topics, outboxes, groups).forEach(panel -> panels.add(panel.json(panels.size())));
        DefaultIndenter indenter = new DefaultIndenter("  ", "\n");
        DefaultPrettyPrinter printer = new DefaultPrettyPrinter().withObjectIndenter(indenter);
        printer.indentArraysWith(indenter);
        try {
            return JSON.writer(printer).writeValueAsString(dashboard) + "\n";
        } catch (JsonProcessingException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static List<Panel> panels(
            Collection<String> topics, Collection<String> outboxes, Collection<String> groups) {
        String ofTopics = MeterQueries.isOneOf("topic", topics);
        List<Panel> panels = new ArrayList<>(List.of(
                new Panel(
                        "Under-replicated partitions (from Kafka's JMX exporter)",
                        MeterQueries.UNDER_REPLICATED,
                        "{{instance}}",
                        "short"),
                new Panel(
                        "Events sent",
                        MeterQueries.perSecond(MeterQueries.SENT, "topic, outcome", ofTopics),
                        "{{topic}} {{outcome}}",
                        "cps")));
        if (!outboxes.isEmpty()) {
            panels.add(new Panel(
                    "Oldest outbox row",
                    MeterQueries.oldestRow(MeterQueries.isOneOf("outbox", outboxes)),
                    "{{outbox}}",
                    "s"));
        }
        if (!groups.isEmpty()) {
            String ofGroups = MeterQueries.isOneOf("group", groups);
            panels.add(new Panel(
                    "Events handled",
                    MeterQueries.perSecond(MeterQueries.HANDLED, "group, topic", ofGroups),
                    "{{group}} {{topic}}",
                    "cps"));
            panels.add(new Panel("Group lag", MeterQueries.lag(ofGroups), "{{group}}", "short"));
            panels.add(new Panel(
                    "Dead letters in 5 min",
                    MeterQueries.fresh(MeterQueries.DEAD_LETTERS, "5m", "group, topic, reason", ofGroups),
                    "{{group}} {{topic}} {{reason}}",
                    "short"));
        }
        return panels;
    }

    private static ObjectNode datasource() {
        return node().put("type", "prometheus").put("uid", "${datasource}");
    }

    private static ObjectNode node() {
        return JsonNodeFactory.instance.objectNode();
    }
}
