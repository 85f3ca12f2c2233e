package dev.eventbus.cli;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.deadletter.FailureText;
import java.io.PrintWriter;
import java.sql.SQLException;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/** Failures in words and exit codes. What a driver says is not repeated: it may quote a value, a user or an address with a password. */
final class Faults {

    private Faults() {}

    static int tell(Exception failure, PrintWriter err) {
        SQLException database = databaseOf(failure);
        if (failure instanceof KafkaAccessException kafka) {
            err.println(kafka.getMessage());
            return EventbusCli.UNREACHABLE;
        }
        if (failure instanceof StartRefusedException refused) {
            err.println(refused.getMessage());
            return database != null
                    ? EventbusCli.UNREACHABLE
                    : refused.code() == ErrorCode.ADOPTION_ENDED ? EventbusCli.WRONG : EventbusCli.USAGE;
        }
        if (database != null) {
            err.println(
                    "The database does not answer or refuses (SQLSTATE %s). The step that failed changed nothing, unless it was its commit that went unanswered; check database.url, database.user, database.password and the schema, then look again."
                            .formatted(database.getSQLState()));
            return EventbusCli.UNREACHABLE;
        }
        if (failure instanceof IllegalStateException || failure instanceof IllegalArgumentException) {
            err.println(failure.getMessage()); // of this library, and without an event in it
            return failure instanceof IllegalStateException ? EventbusCli.WRONG : EventbusCli.USAGE;
        }
        err.println(
                "A fault of the program: %s. Run the command again with --help to see what it takes; report this line."
                        .formatted(FailureText.of(failure)));
        return EventbusCli.FAULT;
    }

    /** A command that is wrong. What was not understood is not repeated but for names of options: it may be a password. */
    static int tell(ParameterException wrong) {
        CommandLine command = wrong.getCommandLine();
        PrintWriter err = command.getErr();
        err.println(
                wrong instanceof UnmatchedArgumentException unmatched
                        ? "Unknown arguments, among them: " + namesOf(unmatched.getUnmatched())
                        : wrong.getMessage());
        err.println("Nothing was done. See %s --help."
                .formatted(command.getCommandSpec().qualifiedName()));
        return EventbusCli.USAGE;
    }

    private static List<String> namesOf(List<String> arguments) {
        return arguments.stream()
                .filter(argument -> argument.startsWith("--"))
                .map(argument -> argument.split("=", 2)[0])
                .toList();
    }

    private static @Nullable SQLException databaseOf(@Nullable Throwable failure) {
        Throwable cause = failure;
        for (int depth = 0; depth < 32 && cause != null; depth++) {
            if (cause instanceof SQLException database) {
                return database;
            }
            cause = cause.getCause();
        }
        return null;
    }
}
