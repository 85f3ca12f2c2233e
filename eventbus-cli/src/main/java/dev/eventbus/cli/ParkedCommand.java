package dev.eventbus.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.KeyHash;
import dev.eventbus.consumer.redrive.Redrive;
import java.io.IOException;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;

/** Parked keys of a group. */
@Command(
        name = "parked",
        description = "Parked keys of a group, whose events wait in the inbox's database.",
        subcommands = {
            ParkedCommand.ListKeys.class,
            ParkedCommand.Show.class,
            ParkedCommand.Again.class,
            ParkedCommand.Discard.class
        })
final class ParkedCommand {

    private static Redrive keys(LetterAction action) {
        CliSettings settings = action.settings();
        return action.selected(Redrive.ofParked(settings.kafka(), action.group(settings), settings.inbox()));
    }

    /** Lists. */
    @Command(name = "list", description = "Lists parked keys by their hashes.")
    static final class ListKeys extends LetterAction {

        @Override
        public Integer call() throws SQLException {
            CliSettings settings = settings();
            String onlyKey = key;
            String onlyHash = onlyKey == null ? keyHash : KeyHash.of(onlyKey.getBytes(UTF_8));
            String onlyTopic = topic == null ? null : settings.kafka().physicalTopic(topic);
            List<List<@Nullable Object>> rows = new ArrayList<>();
            for (ParkedKey of : settings.inbox().parking().load(group(settings))) {
                String hash = KeyHash.of(of.key());
                if ((onlyTopic == null || onlyTopic.equals(of.topic()))
                        && (onlyHash == null || hash.equals(onlyHash))
                        && isSelected(of)) {
                    List<@Nullable Object> row = new ArrayList<>();
                    row.add(settings.logicalTopic(of.topic()));
                    row.add(hash);
                    row.add(of.state());
                    row.add(of.events());
                    row.add(of.reason());
                    row.add(of.since());
                    row.add(of.nextTry());
                    row.add(of.redrives());
                    rows.add(row);
                }
            }
            print(new Report()
                    .table(
                            "parkedKeys",
                            List.of("topic", "keyHash", "state", "events", "reason", "since", "nextTry", "redrives"),
                            rows));
            return EventbusCli.OK;
        }

        private boolean isSelected(ParkedKey of) {
            return (reason == null || reason.name().equals(of.reason()))
                    && (from == null || !of.since().isBefore(from))
                    && (to == null || of.since().isBefore(to));
        }
    }

    /** Shows all of the events of keys. */
    @Command(
            name = "show",
            description =
                    "Shows parked events whole, whatever they wait for, key and payload too, each as one line of JSON.")
    static final class Show extends LetterAction {

        @Override
        public Integer call() throws IOException {
            return show(keys(this).plan());
        }
    }

    /** Redrives. */
    @Command(
            name = "redrive",
            description =
                    "Has the group handle its parked keys again, in order; with --key or --key-hash also a key that waits for its next try, which is left alone else, with exit code 6.")
    static final class Again extends LetterAction.Change {

        @Override
        public Integer call() {
            return redrive(paced(keys(this)).plan());
        }
    }

    /** Discards. */
    @Command(
            name = "discard",
            description =
                    "Gives all events of parked keys up for good, also of those redriven too often; they count as skipped. With --key or --key-hash also a key that waits for its next try or is being handled again; else that is left alone, with exit code 1.")
    static final class Discard extends LetterAction.Change {

        @Override
        public Integer call() {
            return discard(paced(keys(this)).plan());
        }
    }
}
