package dev.eventbus.benchmarks;

import dev.eventbus.outbox.JdbcOutbox;
import java.util.LinkedHashMap;
import java.util.Map;

/** What does it cost to publish, beside a bare INSERT in the same transaction? No relay runs meanwhile. */
final class PublishQuestion {

    private static final String BARE = "bare INSERT";
    private static final String BARE_AGAIN = "bare INSERT again";
    private static final String DEBEZIUM_STYLE = "debezium (INSERT, DELETE)";
    private static final String TOPIC = "bench.publish";
    private static final int REPETITIONS = 3;
    /** Until the JIT compiler has seen the whole way: a service has published more than that. */
    private static final int WARM_UP = 5_000;

    private final Servers servers;
    private final Absent absent;
    private final Lineup lineup;
    private final int transactions;
    private final Figures micros = new Figures();
    private long number;

    PublishQuestion(Servers servers, Lineup lineup, Absent absent, boolean quick) {
        this.servers = servers;
        this.lineup = lineup;
        this.absent = absent;
        this.transactions = quick ? 2_000 : 10_000;
    }

    void ask() throws Exception {
        EventbusRelay.createOutbox(servers);
        servers.execute(BarePublishing.BUSINESS_TABLE);
        Map<String, Publishing> ways = new LinkedHashMap<>();
        try {
            ways.put(BARE, bare(BarePublishing.Style.OUTBOX_TABLE));
            ways.put(Lineup.US, new EventbusPublishing(servers.connect(), JdbcOutbox.postgres(), TOPIC, () -> {}));
            ways.put(BARE_AGAIN, bare(BarePublishing.Style.OUTBOX_TABLE));
            if (lineup.has("debezium")) {
                ways.put(DEBEZIUM_STYLE, bare(BarePublishing.Style.OUTBOX_TABLE_AND_DELETE));
            }
            if (lineup.has("gruelbox")) {
                GruelboxOutbox gruelbox = new GruelboxOutbox(Lineup.GRUELBOX);
                absent.unlessItFails(
                        gruelbox, () -> ways.put(Lineup.GRUELBOX, gruelbox.publishingOnly(servers, TOPIC)));
            }
            round(ways, WARM_UP);
            for (int repetition = 0; repetition < REPETITIONS; repetition++) {
                round(ways, transactions)
                        .forEach((name, nanos) -> micros.add(name, Figures.percentileOf(nanos, 50) / 1e3));
            }
        } finally {
            for (Publishing way : ways.values()) {
                way.close();
            }
        }
    }

    private Publishing bare(BarePublishing.Style style) throws Exception {
        return new BarePublishing(servers.connect(), style, TOPIC, () -> {});
    }

    /** One transaction of each, in turn, so that whatever happens beside hits all alike. */
    private Map<String, double[]> round(Map<String, Publishing> ways, int count) throws Exception {
        Map<String, double[]> nanos = new LinkedHashMap<>();
        for (int i = 0; i < count; i++) {
            number++;
            for (Map.Entry<String, Publishing> way : ways.entrySet()) {
                long start = System.nanoTime();
                way.getValue().publish(number);
                long took = System.nanoTime() - start;
                nanos.computeIfAbsent(way.getKey(), any -> new double[count])[i] = took;
            }
        }
        return nanos;
    }

    void print(Verdict verdict) {
        Table table = new Table(
                "A transaction of a business row and an event, µs (median of %d × %,d, one connection each, in turn)"
                        .formatted(REPETITIONS, transactions),
                "",
                "median",
                "range",
                "to bare");
        for (String name : micros.names()) {
            table.row(
                    name,
                    Table.cell(micros.median(name), "%.0f"),
                    micros.range(name, "%.0f"),
                    Table.cell(micros.ratio(name, BARE), "%.2f"));
        }
        table.print(System.out);
        verdict.put("publish.vs_insert", micros.ratio(Lineup.US, BARE), "%.2f");
        verdict.put("publish.insert_vs_insert", micros.ratio(BARE_AGAIN, BARE), "%.2f");
        verdict.put("publish.gruelbox.vs_insert", micros.ratio(Lineup.GRUELBOX, BARE), "%.2f");
        verdict.put("publish.debezium.vs_insert", micros.ratio(DEBEZIUM_STYLE, BARE), "%.2f");
    }
}
