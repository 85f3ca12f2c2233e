package dev.eventbus.cli;

import java.io.Console;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintWriter;
import java.nio.charset.Charset;
import java.util.Map;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * The command line.
 *
 * <pre>{@code
 * java -jar eventbus-cli.jar deadletters plan --config eventbus.properties --group ledger.asset.events
 * }</pre>
 *
 * <p>Where Kafka and the database are, and the credentials, come from a properties file ({@code --config}) or the environment
 * ({@code EVENTBUS_DATABASE_PASSWORD} for {@code database.password}), never from an argument. Keys and payloads appear in the output of
 * {@code show} and in saved files, nowhere else; lists have the hash of a key.
 *
 * <p>Exit codes: 0 all is well; 1 something is wrong with what was looked at, or not all of what was asked for came about, or nothing
 * that was selected is there; 2 the command or its configuration is wrong, nothing was done; 3 a server does not answer or refuses; 4
 * not confirmed, nothing was done; 5 a fault of the program; 6 nothing has failed, and the group has not handled by now all that it was
 * given, or what waits for its next try.
 */
@Command(
        name = "eventbus-cli",
        mixinStandardHelpOptions = true,
        versionProvider = EventbusCli.Version.class,
        description = "What a person does with dead letters, parked keys, inboxes, outboxes and topics of eventbus.",
        subcommands = {
            DeadLettersCommand.class,
            ParkedCommand.class,
            InboxCommand.class,
            OutboxCommand.class,
            TopicsCommand.class,
            CommandLine.HelpCommand.class
        },
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:all is well",
            "1:something is wrong with what was looked at; or not all of what was asked for came about, or nothing that was selected is there; it says why",
            "2:the command or its configuration is wrong; nothing was done",
            "3:a server does not answer or refuses",
            "4:not confirmed; nothing was done",
            "5:a fault of the program",
            "6:nothing has failed, and the group has not handled by now all that it was given to redrive (--wait), or what waits for its next try; look again"
        },
        footerHeading =
                "%nConfiguration (--config FILE, or the environment: EVENTBUS_DATABASE_URL for database.url):%n",
        footer = {
            "  kafka.bootstrap.servers, kafka.<any client setting>, cluster.name, topic.prefix",
            "  database.url, database.user, database.password, inbox.schema, outbox.schema, outbox.table",
            "  group, dead.letters"
        })
public final class EventbusCli implements Runnable {

    static final int OK = 0;
    static final int WRONG = 1;
    static final int USAGE = 2;
    static final int UNREACHABLE = 3;
    static final int NOT_CONFIRMED = 4;
    static final int FAULT = 5;
    static final int UNDER_WAY = 6;

    /** The version of the jar. */
    static final class Version implements IVersionProvider {

        @Override
        public String[] getVersion() {
            String version = EventbusCli.class.getPackage().getImplementationVersion();
            return new String[] {"eventbus-cli " + (version == null ? "(not from its jar)" : version)};
        }
    }

    /** Asks a person. */
    @FunctionalInterface
    interface Prompt {
        /** Whether the answer was yes. */
        boolean confirms(String question);
    }

    private final Map<String, String> environment;
    private final Prompt prompt;

    @Spec
    private CommandSpec spec = CommandSpec.create();

    EventbusCli(Map<String, String> environment, Prompt prompt) {
        this.environment = environment;
        this.prompt = prompt;
    }

    /** Runs one command and ends the process with its exit code. */
    public static void main(String... arguments) {
        CommandLine command = new EventbusCli(System.getenv(), EventbusCli::askConsole).command();
        PrintWriter out = new PrintWriter(new FileOutputStream(FileDescriptor.out), true, Charset.defaultCharset());
        int code = command.setOut(out).execute(arguments);
        if (out.checkError()) { // which a PrintStream in between would keep to itself
            command.getErr()
                    .println("What was to be printed could not be written whole%s."
                            .formatted(code == OK ? "; what was asked for was done" : ""));
            code = code == OK ? WRONG : code;
        }
        System.exit(code);
    }

    /**
     * Runs one command in this process, for scripts of yours and tests. There is nobody to confirm anything: say {@code --yes}.
     *
     * @param environment in place of the process's own
     * @return the exit code
     */
    public static int run(Map<String, String> environment, PrintWriter out, PrintWriter err, String... arguments) {
        return new EventbusCli(environment, question -> false)
                .command()
                .setOut(out)
                .setErr(err)
                .execute(arguments);
    }

    private CommandLine command() {
        CommandLine command = new CommandLine(this);
        command.setExecutionExceptionHandler((e, failed, parsed) -> Faults.tell(e, failed.getErr()));
        command.setParameterExceptionHandler((e, arguments) -> Faults.tell(e));
        command.setCaseInsensitiveEnumValuesAllowed(true);
        return command;
    }

    private static boolean askConsole(String question) {
        Console console = System.console();
        String answer = console == null ? null : console.readLine("%s [y/N] ", question);
        return answer != null && answer.strip().equalsIgnoreCase("y");
    }

    Map<String, String> environment() {
        return environment;
    }

    Prompt prompt() {
        return prompt;
    }

    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "Say what to do, for instance 'deadletters plan'");
    }
}
