package dev.eventbus.faults;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;

/** The page of the docs that tells the figures of a run. Written by the run, never by hand. */
final class ReliabilityPage {

    private static final String TEXT = """
            # What a fault run showed

            Written by `faults/run --%s --seed %s --docs`; not by hand. Publishers, relays and consumers ran in JVMs of their own on real
            servers, each behind a network that can be made bad, while processes, brokers, the database and the networks failed by a
            schedule made from the seed. The checker compares what is left with a ledger that was written in the publishers' own transactions;
            it takes nothing from what the library says, and each violation that it names was seen in a history made by hand:
            %s.

            %s. It took %s s. Relays sent %s, consumers used the group protocol %s, and what failed for good met
            %s. Verdict: **%s**.

            | | |
            |---|---|
            %s
            Crash points at which a process halted as by a power cut, and was started again: %s.
            P are points of publishers, R of relays, C of consumers, D of dead letters, V of redrives; [fault runs](../faults/README.md#crash-points) says where each is.

            | Fault | Times |
            |---|---|
            %s
            %s| Violation | Found |
            |---|---|
            %s
            A SIGKILL leaves the machine's page cache, so this says nothing about a power cut. "Worst stall" is the longest time in which a key
            had work and made no progress, faults included.
            """;

    private static final String SOAK = """
            Then all was left alone under the same load. What processes and the database held, after a collection, in the first and in the last third of that time:

            | Held | early → late |
            |---|---|
            %s
            """;

    private static final String TESTS = "faults/src/test/java/dev/eventbus/faults/";

    /** Tests in which the checker was seen red, from {@link #TESTS}. */
    static final List<String> SEEN_RED = List.of(
            "check/CheckerTest",
            "check/StallsTest",
            "check/RepeatsTest",
            "check/LookTest",
            "check/ExitsTest",
            "GrowthTest");

    private ReliabilityPage() {}

    private static String links() {
        return SEEN_RED.stream()
                .map(test -> "[%s](../%s%s.java)".formatted(test.replaceFirst(".*/", ""), TESTS, test))
                .collect(Collectors.joining(", "));
    }

    static void write(Path figures, Path page) throws IOException {
        Files.writeString(page, of(figures));
    }

    /** The page as the figures of a run make it. */
    static String of(Path figures) throws IOException {
        JsonNode run = new ObjectMapper().readTree(Files.readString(figures));
        StringBuilder counts = new StringBuilder();
        for (String name : new String[] {
            "events",
            "records",
            "effects",
            "dead letters",
            "events that end the process",
            "processes that they ended",
            "faults",
            "hard faults",
            "repeats",
            "repeats a fault",
            "repeated dead letters",
            "worst stall, ms",
            "drained after, ms"
        }) {
            row(counts, name, run.path(name));
        }
        StringBuilder faults = new StringBuilder();
        run.path("faultsByKind").properties().forEach(kind -> row(faults, kind.getKey(), kind.getValue()));
        StringBuilder soak = new StringBuilder();
        run.path("soak").properties().forEach(figure -> row(soak, figure.getKey(), figure.getValue()));
        StringBuilder violations = new StringBuilder();
        run.path("violations").properties().forEach(kind -> row(violations, kind.getKey(), kind.getValue()));
        StringBuilder points = new StringBuilder();
        run.path("crashPoints")
                .forEach(
                        point -> points.append(points.length() == 0 ? "" : ", ").append(point.asText()));
        return TEXT.formatted(
                run.path("tier").asText(),
                run.path("seed").asText(),
                links(),
                run.path("servers").asText(),
                run.path("seconds").asText(),
                run.path("sendMode").asText(),
                run.path("groupProtocol").asText(),
                run.path("afterRetries").asText(),
                run.path("verdict").asText(),
                counts,
                points,
                faults,
                soak.length() == 0 ? "" : SOAK.formatted(soak),
                violations);
    }

    private static void row(StringBuilder table, String name, JsonNode value) {
        table.append("| %s | %s |%n".formatted(name, value.asText()));
    }
}
