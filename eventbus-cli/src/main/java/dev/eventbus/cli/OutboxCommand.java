package dev.eventbus.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.eventbus.EncodedEvent;
import dev.eventbus.consumer.redrive.KeyHash;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxAdmin.BlockedKey;
import dev.eventbus.outbox.OutboxStats;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** An outbox. */
@Command(
        name = "outbox",
        description = "An outbox: how it does, the keys whose next event Kafka refuses, and topics that have grown.",
        subcommands = {
            OutboxCommand.Stats.class,
            OutboxCommand.Blocked.class,
            OutboxCommand.Unblock.class,
            OutboxCommand.Discard.class,
            OutboxCommand.Adopt.class,
            OutboxCommand.Connector.class
        })
final class OutboxCommand {

    private static OutboxAdmin admin(CliSettings settings) {
        return OutboxAdmin.of(settings.outbox(), settings.dataSource());
    }

    /** Says how it does. */
    @Command(name = "stats", description = "Says what waits, since when, and who sends it.")
    static final class Stats extends Action {

        @Override
        public Integer call() throws SQLException {
            OutboxStats stats = admin(settings()).stats();
            List<List<Object>> topics = new ArrayList<>();
            stats.pendingByTopic().forEach((topic, pending) -> topics.add(List.of(topic, pending)));
            List<List<Object>> shards = new ArrayList<>();
            stats.shards()
                    .forEach(shard -> shards.add(List.of(
                            shard.number(),
                            shard.owner().orElse("-"),
                            shard.leaseUntil().<Object>map(until -> until).orElse("-"))));
            print(new Report()
                    .fact("pending", stats.pending())
                    .fact("exact", stats.exact())
                    .fact("oldestAge", stats.oldestAge().orElse(null))
                    .fact("blockedKeys", stats.blockedKeys())
                    .fact("relays", stats.relays().size())
                    .table("pendingByTopic", List.of("topic", "pending"), topics)
                    .table("shards", List.of("shard", "owner", "leaseUntil"), shards));
            return stats.blockedKeys() > 0 ? EventbusCli.WRONG : EventbusCli.OK;
        }
    }

    /** Lists keys that wait. */
    @Command(name = "blocked", description = "Lists the keys that wait for a person, by their hashes.")
    static final class Blocked extends Action {

        @Override
        public Integer call() throws SQLException {
            List<List<Object>> rows = new ArrayList<>();
            List<BlockedKey> keys = admin(settings()).blocked();
            for (BlockedKey blocked : keys) {
                rows.add(List.of(
                        blocked.topic(),
                        KeyHash.of(blocked.key().getBytes(UTF_8)),
                        blocked.eventId(),
                        blocked.reason(),
                        blocked.since(),
                        blocked.sentLater().size()));
            }
            print(new Report()
                    .table("blockedKeys", List.of("topic", "keyHash", "eventId", "reason", "since", "sentLater"), rows)
                    .fact("thereAreMore", keys.size() == OutboxAdmin.MOST_KEYS));
            return rows.isEmpty() ? EventbusCli.OK : EventbusCli.WRONG;
        }
    }

    /** Tries keys again. */
    @Command(name = "unblock", description = "Has the events of blocked keys sent again, in order.")
    static final class Unblock extends Action {

        @Option(names = "--event", paramLabel = "ID", description = "The event that the key waits for.")
        @Nullable
        String event;

        @Option(names = "--reason", paramLabel = "REASON", description = "All keys that are blocked for this reason.")
        @Nullable
        String reason;

        @Option(names = "--yes", description = "Do not ask.")
        boolean yes;

        @Override
        public Integer call() throws SQLException {
            String id = event;
            String why = reason;
            if ((id == null) == (why == null)) {
                throw new CliSettings.Refused("say --event or --reason, one of them");
            }
            OutboxAdmin admin = admin(settings());
            if (!isConfirmed(yes, "Send the events of blocked keys again?")) {
                return EventbusCli.NOT_CONFIRMED;
            }
            int unblocked = 0;
            if (id != null) {
                for (BlockedKey blocked : admin.blocked(id)) {
                    unblocked += admin.unblock(blocked.topic(), blocked.key()) ? 1 : 0;
                }
            } else if (why != null) {
                unblocked = admin.unblockAll(why);
            }
            print(new Report().fact("unblocked", unblocked));
            return unblocked == 0 ? EventbusCli.WRONG : EventbusCli.OK;
        }
    }

    /** Takes an event out. */
    @Command(
            name = "discard",
            description =
                    "Takes the event that a key waits for out of the outbox for good, and saves it to a file first of all.")
    static final class Discard extends Action {

        @Option(names = "--event", required = true, paramLabel = "ID", description = "The event.")
        String event = "";

        @Option(names = "--note", required = true, paramLabel = "TEXT", description = "Why, for the log.")
        String note = "";

        @Option(
                names = "--save",
                required = true,
                paramLabel = "FILE",
                description = "A new file for the event, key and payload too: nobody else has it then.")
        Path save = Path.of("");

        @Option(names = "--yes", description = "Do not ask.")
        boolean yes;

        private boolean kept;

        @Override
        public Integer call() throws SQLException {
            OutboxAdmin admin = admin(settings());
            if (!isConfirmed(yes, "Take the event out of the outbox for good?")) {
                return EventbusCli.NOT_CONFIRMED;
            }
            try {
                Files.createFile(save); // before anything is gone: it must not exist, and must be writable
            } catch (IOException e) {
                throw new CliSettings.Refused("--save cannot be a new file (%s); nothing was done"
                        .formatted(e.getClass().getSimpleName()));
            }
            try {
                admin.discard(event, note, this::keep);
            } finally {
                if (!kept) { // then nothing was changed
                    removeFile();
                }
            }
            print(new Report().fact("discarded", event).fact("saved", save));
            return EventbusCli.OK;
        }

        /** On the disk, before the event is gone from the outbox. */
        private void keep(EncodedEvent taken) {
            try (FileChannel file = FileChannel.open(save, StandardOpenOption.WRITE)) {
                ByteBuffer text = UTF_8.encode(json(taken) + "\n");
                while (text.hasRemaining()) {
                    file.write(text);
                }
                file.force(true);
                kept = true;
            } catch (IOException e) {
                throw new IllegalStateException(
                        "--save could not be written (%s); the event is in the outbox as before"
                                .formatted(e.getClass().getSimpleName()),
                        e);
            }
        }

        private void removeFile() {
            try {
                Files.deleteIfExists(save);
            } catch (IOException e) {
                err().printf("%s was made for nothing; delete it%n", save);
            }
        }

        private static String json(EncodedEvent event) {
            ObjectNode node = new ObjectMapper()
                    .createObjectNode()
                    .put("eventId", event.id())
                    .put("eventType", event.type())
                    .put("topic", event.topic())
                    .put("key", event.key())
                    .put("contentType", event.contentType())
                    .put("traceparent", event.traceparent())
                    .put("tracestate", event.tracestate());
            byte[] value = event.value();
            node.put("value", value == null ? null : Base64.getEncoder().encodeToString(value));
            ObjectNode headers = node.putObject("headers");
            event.headers().forEach(headers::put);
            return node.toString();
        }
    }

    /** Begins to use new partitions. */
    @Command(
            name = "adopt",
            description =
                    "Begins to use the partitions that a topic has got since, once the groups have handled what was sent before. Its events wait meanwhile, other topics flow; if it fails, the topic goes on as before.")
    static final class Adopt extends Action {

        @Option(
                names = "--topic",
                required = true,
                paramLabel = "TOPIC",
                description = "The topic, by its logical name.")
        String topic = "";

        @Option(
                names = "--group",
                paramLabel = "GROUP",
                description =
                        "A group to which the order of a key's events matters, once for each; default: setting group.")
        List<String> groups = new ArrayList<>();

        @Option(
                names = "--without-groups",
                description = "Order matters to no group: a key's next event may be handled before its last one.")
        boolean withoutGroups;

        @Option(
                names = "--wait",
                paramLabel = "TIME",
                defaultValue = "PT5M",
                description = "How long relays and groups may take, PT5M; default ${DEFAULT-VALUE}. 12 s come on top.")
        Duration wait = Duration.ofMinutes(5);

        @Option(names = "--yes", description = "Do not ask.")
        boolean yes;

        @Override
        public Integer call() throws SQLException {
            CliSettings settings = settings();
            if (withoutGroups && !groups.isEmpty()) {
                throw new CliSettings.Refused("say --group or --without-groups, one of them");
            }
            List<String> orderly = withoutGroups || !groups.isEmpty() ? groups : List.of(settings.require("group"));
            OutboxAdmin admin = admin(settings);
            if (!isConfirmed(yes, "Use all partitions of %s?".formatted(topic))) {
                return EventbusCli.NOT_CONFIRMED;
            }
            int partitions = admin.adoptPartitions(settings.kafka(), topic, wait, orderly.toArray(String[]::new));
            print(new Report().fact("partitions", partitions));
            return EventbusCli.OK;
        }
    }

    /** Writes the configuration of a connector down. */
    @Command(
            name = "connector",
            description =
                    "Writes a Debezium connector's configuration for Kafka Connect, always as JSON. It asks no server, and cannot know which topics are compacted: a connector must not send to these.")
    static final class Connector extends Action {

        @Option(
                names = "--name",
                required = true,
                paramLabel = "NAME",
                description = "Of the connector, its replication slot and its publication: a-z, 0-9 and _.")
        String name = "";

        @Override
        public Integer call() {
            CliSettings settings = settings();
            out().print(settings.outbox().relayedByDebezium().debeziumConnector(settings.kafka(), name));
            out().flush();
            return EventbusCli.OK;
        }
    }
}
