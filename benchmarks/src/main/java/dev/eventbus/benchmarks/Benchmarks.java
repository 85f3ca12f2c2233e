package dev.eventbus.benchmarks;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The program that {@code benchmarks/run} starts. */
public final class Benchmarks {

    private Benchmarks() {}

    /** See {@code benchmarks/README.md}. */
    public static void main(String... arguments) throws Exception {
        Options options;
        try {
            options = Options.parse(arguments);
        } catch (IllegalArgumentException e) {
            System.err.println(e.getMessage());
            System.exit(2);
            return;
        }
        long start = System.nanoTime();
        boolean broken;
        try (Servers servers = Servers.start(options.brokers())) {
            System.out.printf("%s; load before: %s%n", servers.describe(), load());
            Verdict verdict = new Verdict();
            switch (options.benchmark()) {
                case Options.RELAY -> relay(servers, options, verdict);
                case Options.PUBLISH -> publish(servers, options, verdict);
                case Options.CONSUMER -> new ConsumerBenchmark(servers, options, verdict).run();
                case Options.SYSTEM_A -> systemA(servers, options, verdict);
                default -> throw new IllegalStateException(options.benchmark());
            }
            System.out.printf("%nload after: %s; took %d s%n", load(), (System.nanoTime() - start) / 1_000_000_000);
            verdict.print(System.out);
            broken = verdict.isBroken();
        }
        if (broken) {
            System.err.println("something was lost, doubled or out of order: see the last lines");
            System.exit(1);
        }
    }

    private static void relay(Servers servers, Options options, Verdict verdict) throws Exception {
        Absent absent = new Absent();
        Lineup lineup = new Lineup(options.peers());
        for (Contestant contestant : lineup.forDraining()) {
            absent.unlessItFails(contestant, () -> contestant.createTables(servers));
        }
        if (options.asks("drain")) {
            DrainQuestion drain = new DrainQuestion(servers, lineup.forDraining(), absent, options);
            drain.ask();
            drain.print(verdict);
        }
        if (options.asks("cpu")) {
            CpuQuestion cpu = new CpuQuestion(servers, lineup.forCpu(), absent, options);
            cpu.ask();
            cpu.print(verdict);
        }
        if (options.asks("latency")) {
            LatencyQuestion latency = new LatencyQuestion(servers, lineup.forLatency(), absent, options.quick());
            latency.ask();
            latency.print(verdict);
        }
        if (options.asks("idle")) {
            IdleQuestion idle = new IdleQuestion(servers, options.quick());
            idle.ask();
            idle.print(verdict);
        }
        if (options.asks("heap")) {
            HeapQuestion heap = new HeapQuestion(servers, options.large(), options.quick());
            heap.ask();
            heap.print(verdict);
        }
        absent.print();
    }

    private static void publish(Servers servers, Options options, Verdict verdict) throws Exception {
        Absent absent = new Absent();
        PublishQuestion publish = new PublishQuestion(servers, new Lineup(options.peers()), absent, options.quick());
        publish.ask();
        publish.print(verdict);
        absent.print();
    }

    private static void systemA(Servers servers, Options options, Verdict verdict) throws Exception {
        try (SystemAQuestion systemA = new SystemAQuestion(servers, options)) {
            systemA.ask();
            systemA.print(verdict);
        }
    }

    /** What else goes on here; figures of a busy machine say little. */
    private static String load() throws IOException {
        return Files.readString(Path.of("/proc/loadavg")).substring(0, 14);
    }
}
