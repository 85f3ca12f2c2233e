package dev.eventbus.examples.homestarter;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;

/** Starts everything. In a terminal it waits for you; with {@code --story} it plays a story and ends with one line that says what came of it. */
public final class HomeStarter {

    private static final int FIRST_PORT = 8081;

    private HomeStarter() {}

    /** @param args {@code --story} to play the story without asking for anything */
    public static void main(String[] args) throws Exception {
        Screen screen = new Screen(new PrintStream(System.out, true, StandardCharsets.UTF_8));
        boolean asks = System.console() != null && !Arrays.asList(args).contains("--story");
        long began = System.nanoTime();
        screen.say("home-starter   JDK %s   no Docker needed".formatted(Runtime.version()));
        Tally tally;
        try (Stage stage = new Stage(asks ? FIRST_PORT : 0);
                Ledger ledger = new Ledger(stage)) {
            screen.say("three brokers, PostgreSQL and Redis started in %.1f s"
                    .formatted(Duration.ofNanos(System.nanoTime() - began).toMillis() / 1000.0));
            if (asks) {
                stage.startCalculators(1);
                screen.say(stage.describe());
                converse(stage, screen);
                tally = ledger.tallyAtRest();
            } else {
                tally = new Story(stage, ledger, screen).play();
            }
        }
        screen.say("");
        screen.say(tally.toString());
        System.exit(tally.isGood() ? 0 : 1);
    }

    /** One letter and Enter at a time, until {@code s} or the end of the input. */
    private static void converse(Stage stage, Screen screen) throws IOException {
        BufferedReader keyboard = new BufferedReader(new InputStreamReader(System.in, Charset.defaultCharset()));
        while (true) {
            screen.say(
                    "\n b Enter: break the calculator for mallory, or mend it   k Enter: kill broker 2, or start it again   s Enter: stop\n");
            String letter = keyboard.readLine();
            if (letter == null || letter.strip().equals("s")) {
                return;
            }
            switch (letter.strip()) {
                case "b" ->
                    screen.happened(
                            "calculator", stage.breakOrMend("mallory") ? "fails for mallory" : "works for mallory");
                case "k" -> killOrStart(stage, screen);
                default -> screen.say(" that is none of b, k, s");
            }
        }
    }

    private static void killOrStart(Stage stage, Screen screen) {
        if (stage.brokers().isAlive(2)) {
            stage.brokers().kill(2);
            screen.happened("broker 2", "is killed");
        } else {
            stage.brokers().start(2);
            screen.happened("broker 2", "is up again");
        }
    }
}
