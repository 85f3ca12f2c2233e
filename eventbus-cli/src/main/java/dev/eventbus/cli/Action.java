package dev.eventbus.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** What all commands have. */
abstract class Action implements Callable<Integer> {

    @Spec
    CommandSpec spec = CommandSpec.create();

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "Properties file that says where Kafka and the database are.")
    @Nullable
    Path config;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "Show this help message and exit.")
    boolean help;

    @Option(names = "--json", description = "One JSON document instead of text.")
    boolean json;

    private @Nullable CliSettings read;

    /** Read once: what the file is may be a pipe. */
    CliSettings settings() {
        CliSettings known = read;
        if (known == null) {
            known = CliSettings.of(config, root().environment());
            read = known;
        }
        return known;
    }

    private EventbusCli root() {
        return (EventbusCli) spec.root().userObject();
    }

    PrintWriter out() {
        return spec.commandLine().getOut();
    }

    PrintWriter err() {
        return spec.commandLine().getErr();
    }

    void print(Report report) {
        report.print(out(), json);
    }

    /** Asks, unless it was said before. */
    boolean isConfirmed(boolean yes, String question) {
        if (yes || root().prompt().confirms(question)) {
            return true;
        }
        err().println("Not confirmed; nothing was done. Answer y, or say --yes.");
        return false;
    }
}
