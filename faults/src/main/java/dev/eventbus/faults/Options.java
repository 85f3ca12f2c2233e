package dev.eventbus.faults;

import dev.eventbus.faults.Schedule.Gaps;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * What was asked for on the command line.
 *
 * @param tier how much of everything there is unless it is said
 * @param seed of the schedule of faults
 * @param faultsFor how long faults are made after the tour of the crash points
 * @param soaksFor how long nothing happens afterwards but load
 * @param drainsWithin how long everything may take to come to rest afterwards
 * @param rate transactions a second of all publishers, unless they are held back
 * @param tours how often each crash point is visited
 * @param sendMode of the relays; by the seed unless it is said
 * @param groupProtocol of the consumers; likewise
 * @param afterRetries what becomes of what fails for good; likewise
 * @param inbox whether consumers have one: {@code inbox} or {@code no-inbox}
 * @param out where the figures go
 * @param docs where the page of the docs goes; empty for nowhere
 */
record Options(
        Tier tier,
        long seed,
        Duration faultsFor,
        Duration soaksFor,
        Duration drainsWithin,
        int rate,
        int tours,
        String sendMode,
        String groupProtocol,
        String afterRetries,
        String inbox,
        Path out,
        String docs) {

    static final String USAGE = """
            faults/run [--quick | --ci | --nightly] [--seed N] [--minutes N] [--soak N] [--rate N] [--no-tour]
                       [--send-mode pipelined|strict] [--group-protocol classic|consumer]
                       [--after-retries dead-letter|park-key] [--no-inbox] [--out FILE] [--docs]
            faults/run --mutants [NAME...]
              --quick     a minute of faults, 3 to 4 minutes in all (default)
              --ci        twelve minutes of faults, 14 in all
              --nightly   an hour of faults, and half an hour without any in which nothing may grow
              --soak      minutes without faults afterwards, 4 at least, or 0
              --no-inbox  consumers without one: has to come out red
              --seed      of the schedule; a random one otherwise, printed. It also chooses what is not said: odd ones strict
                          sending, of four in a row the last two the new group protocol, of eight the last four parked
                          keys, but that a --quick run always parks: all crash points are visited then
              --out       where the figures go as JSON, faults/target/faults.json otherwise
              --docs      writes docs/reliability.md from the figures, if it passed""";

    /**
     * A run in which less happened tells nothing.
     *
     * @param events that were committed
     * @param hardFaults after which somebody was gone, stood still or heard nobody
     */
    record Least(int events, int hardFaults) {}

    /** A quick run crowds its faults into a minute; the others leave the system time to move events. */
    enum Tier {
        QUICK(1, 0, 50, 240, new Least(1_000, 15), new Gaps(300, 2_200)),
        CI(12, 0, 85, 300, new Least(60_000, 80), new Gaps(1_000, 5_800)),
        NIGHTLY(60, 30, 75, 600, new Least(500_000, 220), new Gaps(1_500, 11_000));

        private final int minutes;
        private final int soakMinutes;
        private final int rate;
        private final int drainSeconds;
        final Least least;
        final Gaps gaps;

        Tier(int minutes, int soakMinutes, int rate, int drainSeconds, Least least, Gaps gaps) {
            this.minutes = minutes;
            this.soakMinutes = soakMinutes;
            this.rate = rate;
            this.drainSeconds = drainSeconds;
            this.least = least;
            this.gaps = gaps;
        }

        String lower() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private static final int SHORTEST_SOAK = 4;

    private static final String PAGE = "docs/reliability.md";

    /** @throws IllegalArgumentException with the usage, if it is not as above */
    static Options parse(String... arguments) {
        List<String> left = new ArrayList<>(List.of(arguments));
        Tier tier = tier(left);
        String minutes = valueOf("--minutes", left, String.valueOf(tier.minutes));
        String soak = valueOf("--soak", left, String.valueOf(tier.soakMinutes));
        String seed = valueOf("--seed", left, String.valueOf(System.nanoTime() % 1_000_000));
        String rate = valueOf("--rate", left, String.valueOf(tier.rate));
        String sendMode = oneOf("--send-mode", left, bit(seed, 0), "pipelined", "strict");
        String protocol = oneOf("--group-protocol", left, bit(seed, 1), "classic", "consumer");
        int parking = tier == Tier.QUICK ? 1 : bit(seed, 2);
        String afterRetries = oneOf("--after-retries", left, parking, "dead-letter", ConsumerMain.PARK_KEY);
        String out = valueOf("--out", left, "faults/target/faults.json");
        boolean noInbox = left.remove("--no-inbox");
        boolean tours = !left.remove("--no-tour");
        boolean docs = left.remove("--docs");
        if (noInbox) {
            afterRetries = "dead-letter"; // keys are parked in an inbox
        }
        if (!left.isEmpty()) {
            throw new IllegalArgumentException(USAGE);
        }
        if (number(soak) < 0 || number(soak) > 0 && number(soak) < SHORTEST_SOAK) {
            throw new IllegalArgumentException(USAGE);
        }
        return new Options(
                tier,
                number(seed),
                Duration.ofSeconds(60 * number(minutes)),
                Duration.ofSeconds(60 * number(soak)),
                Duration.ofSeconds(tier.drainSeconds),
                Math.toIntExact(number(rate)),
                tours ? 1 : 0,
                sendMode.toUpperCase(Locale.ROOT),
                protocol,
                afterRetries,
                noInbox ? ConsumerMain.NO_INBOX : "inbox",
                Path.of(out),
                docs ? PAGE : "");
    }

    boolean isStrict() {
        return sendMode.equals("STRICT");
    }

    boolean parks() {
        return afterRetries.equals(ConsumerMain.PARK_KEY);
    }

    /** What is asked of the run beside the guarantees, unless less time or load was asked for. */
    Least least() {
        return isAsTheTier() ? tier.least : Tier.QUICK.least;
    }

    /** A minute is too short for every kind. */
    boolean asksForAllKinds() {
        return isAsTheTier() && tier != Tier.QUICK;
    }

    private boolean isAsTheTier() {
        return rate >= tier.rate && faultsFor.toMinutes() >= tier.minutes && tours > 0;
    }

    private static int bit(String seed, int number) {
        return (int) (number(seed) >> number & 1);
    }

    private static String oneOf(String option, List<String> arguments, int otherwise, String... words) {
        String chosen = valueOf(option, arguments, words[otherwise]);
        if (!List.of(words).contains(chosen)) {
            throw new IllegalArgumentException(USAGE);
        }
        return chosen;
    }

    private static Tier tier(List<String> arguments) {
        Tier chosen = Tier.QUICK;
        for (Tier tier : Tier.values()) {
            chosen = arguments.remove("--" + tier.lower()) ? tier : chosen;
        }
        return chosen;
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
