package dev.eventbus.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.consumer.inbox.JdbcInbox;
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

    private static Redrive parked(LetterAction action, CliSettings settings) {
        return Redrive.ofParked(settings.kafka(), action.group(settings), settings.inbox());
    }

    /** Lists. */
    @Command(name = "list", description = "Lists parked keys by their hashes.")
    static final class ListKeys extends LetterAction {

        @Override
        public Integer call() throws SQLException {
            CliSettings settings = settings();
            JdbcInbox inbox = settings.inbox();
            String only = key;
            String onlyTopic = topic == null ? null : settings.kafka().physicalTopic(topic);
            List<List<@Nullable Object>> rows = new ArrayList<>();
            for (ParkedKey of : inbox.parking().load(group(settings))) {
                String hash = KeyHash.of(of.key());
                if ((onlyTopic == null || onlyTopic.equals(of.topic()))
                        && (only == null || hash.equals(KeyHash.of(only.getBytes(UTF_8))))
                        && isSelected(of)) {
                    List<@Nullable Object> row = new ArrayList<>();
                    row.add(of.topic());
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
    @Command(name = "show", description = "Shows parked events whole, key and payload too, each as one line of JSON.")
    static final class Show extends LetterAction {

        @Override
        public Integer call() throws IOException {
            CliSettings settings = settings();
            long lines =
                    selected(parked(this, settings)).mostRedrives(1_000).plan().export(out());
            out().flush();
            return lines == 0 ? EventbusCli.WRONG : EventbusCli.OK;
        }
    }

    /** Redrives. */
    @Command(name = "redrive", description = "Has the group handle its parked keys again, in order.")
    static final class Again extends LetterAction.Change {

        @Override
        public Integer call() {
            CliSettings settings = settings();
            return redrive(selected(paced(parked(this, settings))).plan());
        }
    }

    /** Discards. */
    @Command(name = "discard", description = "Gives all events of parked keys up for good; they count as skipped.")
    static final class Discard extends LetterAction.Change {

        @Override
        public Integer call() {
            CliSettings settings = settings();
            return discard(selected(paced(parked(this, settings))).plan());
        }
    }
}
