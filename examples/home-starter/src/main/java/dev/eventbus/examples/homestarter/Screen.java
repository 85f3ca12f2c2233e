package dev.eventbus.examples.homestarter;

import java.io.PrintStream;
import java.time.LocalTime;
import java.time.format.DateTimeFormatter;

/** The terminal; lines of several threads do not mix. */
final class Screen {

    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("HH:mm:ss.SSS");

    private final PrintStream out;

    Screen(PrintStream out) {
        this.out = out;
    }

    /** A line of the programme. */
    synchronized void say(String text) {
        out.println(text);
    }

    /** A line of something that happened: when, where, what. */
    synchronized void happened(String where, String what) {
        out.printf(" %s  %-10s %s%n", LocalTime.now().format(TIME), where, what);
    }
}
