package dev.eventbus.faults;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * What was asked for on the command line.
 *
 * @param tier {@code quick}, {@code ci} or {@code nightly}
 * @param seed of the schedule of faults
 * @param faultsFor how long faults are made after the tour of the crash points
 * @param drainsWithin how long everything may take to come to rest afterwards
 * @param rate transactions a second of all publishers
 * @param tours how often each crash point is visited
 * @param sendMode of the relays
 * @param groupProtocol of the consumers
 * @param inbox whether consumers have one: {@code inbox} or {@code no-inbox}
 * @param out where the figures go
 * @param docs where the page of the docs goes; empty for nowhere
 */
record Options(
        String tier,
        long seed,
        Duration faultsFor,
        Duration drainsWithin,
        int rate,
        int tours,
        String sendMode,
        String groupProtocol,
        String inbox,
        Path out,
        String docs) {

    static final String USAGE = """
            faults/run [--quick | --ci | --nightly] [--seed N] [--minutes N] [--rate N] [--no-tour] [--strict]
                       [--group-protocol classic|consumer] [--no-inbox] [--out FILE] [--docs]
            faults/run --mutants [NAME...]
              --quick     a minute of faults, 4 minutes in all (default)
              --ci        five minutes of faults, 12 in all
              --nightly   an hour of faults
              --no-inbox  consumers without one: has to come out red
              --seed      of the schedule; a random one otherwise, printed
              --out       where the figures go as JSON, faults/target/faults.json otherwise
              --docs      writes docs/reliability.md from the figures, if it passed""";

    private static final String PAGE = "docs/reliability.md";

    /** @throws IllegalArgumentException with the usage, if it is not as above */
    static Options parse(String... arguments) {
        List<String> left = new ArrayList<>(List.of(arguments));
        boolean ci = left.remove("--ci");
        boolean nightly = left.remove("--nightly");
        left.remove("--quick");
        String minutes = valueOf("--minutes", left, nightly ? "60" : ci ? "5" : "1");
        String seed = valueOf("--seed", left, String.valueOf(System.nanoTime() % 1_000_000));
        String rate = valueOf("--rate", left, "100");
        boolean strict = left.remove("--strict");
        String protocol = valueOf("--group-protocol", left, "classic");
        String out = valueOf("--out", left, "faults/target/faults.json");
        boolean noInbox = left.remove("--no-inbox");
        boolean tours = !left.remove("--no-tour");
        boolean docs = left.remove("--docs");
        if (!left.isEmpty()) {
            throw new IllegalArgumentException(USAGE);
        }
        return new Options(
                nightly ? "nightly" : ci ? "ci" : "quick",
                number(seed),
                Duration.ofSeconds(60 * number(minutes)),
                Duration.ofSeconds(nightly ? 600 : ci ? 120 : 90),
                Math.toIntExact(number(rate)),
                tours ? 1 : 0,
                strict ? "STRICT" : "PIPELINED",
                protocol,
                noInbox ? ConsumerMain.NO_INBOX : "inbox",
                Path.of(out),
                docs ? PAGE : "");
    }

    private static long number(String text) {
        try {
            return Long.parseLong(text);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(USAGE, e);
        }
    }

    private static String valueOf(String option, List<String> arguments, String otherwise) {
        int at = arguments.indexOf(option);
        if (at < 0) {
            return otherwise;
        }
        if (at + 1 == arguments.size()) {
            throw new IllegalArgumentException(USAGE);
        }
        arguments.remove(at);
        return arguments.remove(at);
    }
}
