package dev.eventbus.examples.quickstart;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;

/** Starts everything, shows it, and ends with one line that says what came of it. */
public final class Quickstart {

    private Quickstart() {}

    /** @param args {@code --story} to play the story without asking for anything */
    public static void main(String[] args) throws Exception {
        Screen screen = new Screen(new PrintStream(System.out, true, StandardCharsets.UTF_8));
        boolean asks = System.console() != null && !Arrays.asList(args).contains("--story");
        long began = System.nanoTime();
        screen.say("eventbus quickstart   JDK %s   no Docker needed".formatted(Runtime.version()));
        Commentary commentary = new Commentary(screen);
        Tally tally;
        try (Stage stage = new Stage(commentary)) {
            screen.say("started in %.1f s: %s"
                    .formatted(Duration.ofNanos(System.nanoTime() - began).toMillis() / 1000.0, stage.describe()));
            Story story = new Story(stage, commentary, screen);
            story.play();
            if (asks) {
                story.failForBob();
                converse(story, screen);
            } else {
                story.failForBobThenRedrive();
                story.awaitHandled();
            }
            story.awaitSettled();
            tally = story.tally();
        }
        screen.say("");
        screen.say(tally.toString());
        System.exit(tally.isGood() ? 0 : 1);
    }

    /** One letter and Enter at a time, until {@code s} or the end of the input. */
    private static void converse(Story story, Screen screen) throws Exception {
        BufferedReader keyboard = new BufferedReader(new InputStreamReader(System.in, Charset.defaultCharset()));
        while (true) {
            screen.say(
                    "\n f Enter: fix the handler, or break it for bob   r Enter: redrive   p Enter: publish more   s Enter: stop\n");
            String letter = keyboard.readLine();
            if (letter == null || letter.strip().equals("s")) {
                return;
            }
            switch (letter.strip()) {
                case "f" -> story.fixOrBreak();
                case "r" -> story.redrive();
                case "p" -> story.publishForEverybody();
                default -> screen.say(" that is none of f, r, p, s");
            }
        }
    }
}
