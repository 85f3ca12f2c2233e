package dev.eventbus.cli;

import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.topics.KafkaCluster;
import java.io.IOException;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Dead letters of a group. */
@Command(
        name = "deadletters",
        description = "Dead letters of a group: look at them, handle them again, give them up.",
        subcommands = {
            DeadLettersCommand.ListLetters.class,
            DeadLettersCommand.Show.class,
            DeadLettersCommand.Plan.class,
            DeadLettersCommand.Again.class,
            DeadLettersCommand.Discard.class
        })
final class DeadLettersCommand {

    /** Where the letters are. */
    static final class Letters {

        @Option(
                names = "--letters",
                paramLabel = "TOPIC",
                description = "The dead-letter topic; default: setting dead.letters.")
        @Nullable
        String topic;

        @Option(names = "--event", paramLabel = "ID", description = "Only the letter of this event.")
        @Nullable
        String event;

        @Option(
                names = "--without-inbox",
                description = "The group has no inbox: its letters go back to their topic, for this group alone.")
        boolean withoutInbox;

        RedrivePlan plan(LetterAction action, UnaryOperator<Redrive> how) {
            CliSettings settings = action.settings();
            KafkaCluster kafka = settings.kafka();
            String named = topic;
            String letters = named == null ? settings.require("dead.letters") : named;
            String group = action.group(settings);
            if (!withoutInbox && !settings.hasDatabase()) {
                throw new CliSettings.Refused(
                        "database.url is not set: say where the group's inbox is, or --without-inbox if it has none");
            }
            Redrive all = withoutInbox
                    ? Redrive.of(kafka, group, letters)
                    : Redrive.of(kafka, group, letters, settings.inbox());
            String only = event;
            return how.apply(action.selected(only == null ? all : all.event(only)))
                    .plan();
        }
    }

    /** Lists. */
    @Command(name = "list", description = "Lists letters, without keys and payloads.")
    static final class ListLetters extends LetterAction {

        @Mixin
        Letters letters = new Letters();

        @Override
        public Integer call() {
            print(letters(letters.plan(this, redrive -> redrive)));
            return EventbusCli.OK;
        }
    }

    /** Shows all of a letter. */
    @Command(name = "show", description = "Shows letters whole, key and payload too, each as one line of JSON.")
    static final class Show extends LetterAction {

        @Mixin
        Letters letters = new Letters();

        @Override
        public Integer call() throws IOException {
            return show(letters.plan(this, redrive -> redrive));
        }
    }

    /** Plans. */
    @Command(
            name = "plan",
            description =
                    "Says what a redrive would do: how many, why, since when, and of which keys later events are handled.")
    static final class Plan extends LetterAction {

        @Mixin
        Letters letters = new Letters();

        @Override
        public Integer call() {
            print(shown(letters.plan(this, redrive -> redrive)));
            return EventbusCli.OK;
        }
    }

    /** Redrives. */
    @Command(
            name = "redrive",
            description = "Has the group handle its letters and parked keys again, after it has shown the plan.")
    static final class Again extends LetterAction.Change {

        @Mixin
        Letters letters = new Letters();

        @Override
        boolean isSelective() {
            return super.isSelective() || letters.event != null;
        }

        @Override
        public Integer call() {
            return redrive(letters.plan(this, this::paced));
        }
    }

    /** Discards. */
    @Command(
            name = "discard",
            description =
                    "Gives letters, also those that cannot be redriven, and parked keys up for good; their events count as skipped. What is being handled again only with --key, --key-hash or --event, what waits for its next try only with one of the first two; else it is left alone, with exit code 1.")
    static final class Discard extends LetterAction.Change {

        @Mixin
        Letters letters = new Letters();

        @Override
        boolean isSelective() {
            return super.isSelective() || letters.event != null;
        }

        @Override
        public Integer call() {
            if (letters.withoutInbox) {
                throw new CliSettings.Refused(
                        "nothing was discarded: a group without an inbox has no inbox that could remember it; its letters stay in their topic until retention takes them");
            }
            return discard(letters.plan(this, this::paced));
        }
    }
}
