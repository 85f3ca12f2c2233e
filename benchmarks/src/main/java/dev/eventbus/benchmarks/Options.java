package dev.eventbus.benchmarks;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What was asked for on the command line.
 *
 * @param benchmark {@code relay}, {@code publish}, {@code consumer} or {@code system-a}
 * @param quick whether all of it may take at most six minutes
 * @param only the questions to ask; empty for all
 * @param peers who takes part beside the raw loop and us
 * @param small the smaller backlog, rows
 * @param large the larger one
 */
record Options(String benchmark, boolean quick, Set<String> only, Set<String> peers, long small, long large) {

    static final String RELAY = "relay";
    static final String PUBLISH = "publish";
    static final String CONSUMER = "consumer";
    static final String SYSTEM_A = "system-a";
    static final String SPRING_KAFKA = "spring-kafka";
    static final String PARALLEL_CONSUMER = "parallel-consumer";

    /** By benchmark. */
    private static final Map<String, Set<String>> PEERS = Map.of(
            RELAY,
            Set.of("gruelbox", "debezium"),
            PUBLISH,
            Set.of("gruelbox", "debezium"),
            CONSUMER,
            Set.of(SPRING_KAFKA, PARALLEL_CONSUMER),
            SYSTEM_A,
            Set.of());

    /** By benchmark. */
    private static final Map<String, Set<String>> QUESTIONS = Map.of(
            RELAY,
            Set.of("drain", "cpu", "latency", "idle", "heap"),
            PUBLISH,
            Set.of(),
            CONSUMER,
            Set.of("noop", "blocking", "inbox", "poison", "join", "kill", "heap"),
            SYSTEM_A,
            Set.of("latency", "kill"));

    private static final String USAGE = """
            usage: benchmarks/run relay|publish|consumer|system-a [--quick] [--only QUESTION,...] [--peers none|PEER,...]
                                 [--rows SMALL,LARGE]
              relay asks: drain, cpu, latency, idle, heap; peers of it and of publish: gruelbox, debezium
              consumer asks: noop, blocking, inbox, poison, join, kill, heap; peers: spring-kafka, parallel-consumer
              system-a asks: latency, kill; it has no peers""";

    /** @throws IllegalArgumentException with the usage, if it is not as above */
    static Options parse(String... arguments) {
        if (arguments.length == 0) {
            throw new IllegalArgumentException(USAGE);
        }
        List<String> left = new ArrayList<>(List.of(arguments));
        String benchmark = left.remove(0);
        Set<String> known = PEERS.get(benchmark);
        Set<String> questions = QUESTIONS.get(benchmark);
        if (known == null || questions == null) {
            throw new IllegalArgumentException(USAGE);
        }
        boolean quick = left.remove("--quick");
        Set<String> only = Set.copyOf(listAfter("--only", left, List.of()));
        Set<String> peers = Set.copyOf(listAfter("--peers", left, List.copyOf(known)));
        List<String> rows = listAfter("--rows", left, List.of("20000", quick ? "200000" : "1000000"));
        peers = peers.equals(Set.of("none")) ? Set.of() : peers;
        if (!left.isEmpty() || !known.containsAll(peers) || !questions.containsAll(only)) {
            throw new IllegalArgumentException(USAGE);
        }
        return new Options(benchmark, quick, only, peers, Long.parseLong(rows.get(0)), Long.parseLong(rows.get(1)));
    }

    /** How many brokers it is about. */
    int brokers() {
        return benchmark.equals(SYSTEM_A) ? 3 : 1;
    }

    boolean asks(String question) {
        return only.isEmpty() || only.contains(question);
    }

    private static List<String> listAfter(String option, List<String> arguments, List<String> otherwise) {
        int at = arguments.indexOf(option);
        if (at < 0) {
            return otherwise;
        }
        if (at + 1 == arguments.size()) {
            throw new IllegalArgumentException(USAGE);
        }
        arguments.remove(at);
        return List.of(arguments.remove(at).split(",", -1));
    }
}
