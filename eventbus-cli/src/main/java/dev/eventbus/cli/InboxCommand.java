package dev.eventbus.cli;

import java.sql.SQLException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** An inbox. */
@Command(
        name = "inbox",
        description = "An inbox: how a group's events ended.",
        subcommands = {InboxCommand.Forget.class})
final class InboxCommand {

    /** Forgets. */
    @Command(
            name = "forget",
            description =
                    "Forgets how a group ended its events, so that it can handle them once more on purpose: close its runners, forget, set its offsets back, start again. What is parked, dying or being redriven stays. Letters of what was applied or discarded can be redriven again from then on: a redrive of all hands all of them over.")
    static final class Forget extends Action {

        @Option(names = "--group", paramLabel = "GROUP", description = "The group; default: setting group.")
        @Nullable
        String group;

        @Option(names = "--yes", description = "Do not ask.")
        boolean yes;

        @Override
        public Integer call() throws SQLException {
            CliSettings settings = settings();
            String named = group == null ? settings.require("group") : group;
            if (!isConfirmed(
                    yes,
                    "Have %s handle again whatever it reads again, and whatever letters a redrive hands over?"
                            .formatted(named))) {
                return EventbusCli.NOT_CONFIRMED;
            }
            print(new Report().fact("forgotten", settings.inbox().forget(named)));
            return EventbusCli.OK;
        }
    }
}
