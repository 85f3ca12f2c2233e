package dev.eventbus.cli;

import dev.eventbus.topics.GrowPartitions;
import dev.eventbus.topics.TopicFinding;
import dev.eventbus.topics.TopicFinding.PartitionCount;
import dev.eventbus.topics.TopicFinding.Remedy;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.DateTimeException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Topics. */
@Command(
        name = "topics",
        description = "Topics of a cluster.",
        subcommands = {TopicsCommand.Verify.class, TopicsCommand.Plan.class, TopicsCommand.Apply.class})
final class TopicsCommand {

    /** Compares, risks too. */
    @Command(name = "verify", description = "Compares topics with what they should be, and changes nothing.")
    static final class Verify extends OfSpecs {

        @Override
        public Integer call() {
            List<TopicSpec> specs = specs();
            return told(specs, Topics.of(settings().kafka(), specs).verify());
        }
    }

    /** Compares with what apply can do. */
    @Command(
            name = "plan",
            description = "Tells what differs, what apply would mend and what is left to you, and changes nothing.")
    static final class Plan extends OfSpecs {

        @Override
        public Integer call() {
            List<TopicSpec> specs = specs();
            return told(specs, Topics.of(settings().kafka(), specs).plan());
        }
    }

    /** Mends. */
    @Command(
            name = "apply",
            description = "Creates topics and sets settings. Deletes nothing, and adds partitions only if told to.")
    static final class Apply extends OfSpecs {

        @Option(names = "--yes", description = "Do not ask.")
        boolean yes;

        @Option(
                names = "--grow-partitions-though-keys-change-partition",
                description =
                        "Adds partitions. Let relays adopt them, and stop other producers first: see docs/topics.md.")
        boolean growing;

        @Override
        public Integer call() {
            List<TopicSpec> specs = specs();
            Topics topics = Topics.of(settings().kafka(), specs);
            List<TopicFinding> plan = topics.plan();
            if (!json) {
                print(new Report().table("plan", List.of("finding"), rows(plan)));
            }
            if (!isConfirmed(yes, question(plan, growing))) {
                return EventbusCli.NOT_CONFIRMED;
            }
            List<TopicFinding> mended =
                    growing ? topics.apply(GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION) : topics.apply();
            List<TopicFinding> left = topics.plan();
            print(new Report()
                    .fact("topics", specs.size())
                    .table(
                            "mended",
                            List.of("was"),
                            mended.stream()
                                    .map(finding -> List.of(
                                            finding instanceof PartitionCount ? finding.text() : finding.what()))
                                    .toList())
                    .table("findings", List.of("finding"), rows(left)));
            return left.isEmpty() ? EventbusCli.OK : EventbusCli.WRONG;
        }

        static String question(List<TopicFinding> plan, boolean growing) {
            String topics = plan.stream()
                    .filter(finding -> growing && finding.fix().by() == Remedy.APPLY_GROWING)
                    .map(TopicFinding::topic)
                    .collect(Collectors.joining(", "));
            return "Create topics that are missing and set settings that differ"
                    + (topics.isEmpty()
                            ? "?"
                            : ", and add partitions, though keys change theirs, to %s?".formatted(topics));
        }
    }

    /** What has topics to look at. */
    @Command(
            footer = {
                "",
                "A file of topics has one line for each, for instance:",
                "  asset.events = partitions=3 replicas=3 min.insync=2 retention=PT24H retention.bytes=10000000000",
                "  profile.events = partitions=6 compacted.after=P30D",
                "Also compression=lz4 and max.message.bytes=1048576. Without a word the defaults of the library hold: 3 replicas, 7 days."
            })
    abstract static class OfSpecs extends Action {

        @Option(names = "--file", paramLabel = "FILE", description = "A file of topics, see below.")
        @Nullable
        Path file;

        @Option(
                names = "--topic",
                paramLabel = "\"NAME = ...\"",
                description = "A topic, as a line of such a file; may be said several times.")
        List<String> lines = new ArrayList<>();

        List<TopicSpec> specs() {
            List<TopicSpec> specs = new ArrayList<>();
            Path from = file;
            if (from != null) {
                Properties read = read(from);
                new TreeSet<>(read.stringPropertyNames())
                        .forEach(name -> specs.add(spec(name, read.getProperty(name, ""))));
            }
            for (String line : lines) {
                String[] parts = line.split("=", 2);
                if (parts.length < 2) {
                    throw new CliSettings.Refused("--topic must be \"name = partitions=3 ...\"");
                }
                specs.add(spec(parts[0].strip(), parts[1].strip()));
            }
            if (specs.isEmpty()) {
                throw new CliSettings.Refused("say --file or --topic");
            }
            return specs;
        }

        int told(List<TopicSpec> specs, List<TopicFinding> findings) {
            print(new Report().fact("topics", specs.size()).table("findings", List.of("finding"), rows(findings)));
            return findings.isEmpty() ? EventbusCli.OK : EventbusCli.WRONG;
        }

        static List<List<String>> rows(List<TopicFinding> findings) {
            return findings.stream().map(finding -> List.of(finding.text())).toList();
        }

        private static Properties read(Path file) {
            Properties lines = new Properties();
            try (Reader reader = Files.newBufferedReader(file)) {
                lines.load(reader);
            } catch (IOException | IllegalArgumentException e) {
                throw new CliSettings.Refused("--file %s cannot be read as a properties file (%s)"
                        .formatted(file, e.getClass().getSimpleName()));
            }
            return lines;
        }

        private static TopicSpec spec(String name, String line) {
            int partitions = 0;
            List<String[]> words = new ArrayList<>();
            for (String word : line.strip().split("\\s+")) {
                String[] pair = word.split("=", 2);
                if (pair.length < 2) {
                    throw new CliSettings.Refused("topic %s: '%s' must be name=value".formatted(name, word));
                }
                if (pair[0].equals("partitions")) {
                    partitions = partitions(name, pair[1]);
                } else {
                    words.add(pair);
                }
            }
            TopicSpec spec = TopicSpec.of(name, partitions);
            for (String[] word : words) {
                spec = with(spec, word[0], word[1]);
            }
            return spec;
        }

        private static int partitions(String topic, String value) {
            try {
                return Integer.parseInt(value);
            } catch (NumberFormatException e) {
                throw new CliSettings.Refused("topic %s: partitions=%s is no number".formatted(topic, value));
            }
        }

        private static TopicSpec with(TopicSpec spec, String word, String value) {
            try {
                return switch (word) {
                    case "replicas" -> spec.replicationFactor(Integer.parseInt(value));
                    case "min.insync" -> spec.minInsyncReplicas(Integer.parseInt(value));
                    case "retention" -> spec.retention(Duration.parse(value));
                    case "retention.bytes" -> spec.retentionBytes(Long.parseLong(value));
                    case "compacted.after" -> spec.compactedAfter(Duration.parse(value));
                    case "compression" -> spec.compression(value);
                    case "max.message.bytes" -> spec.maxMessageBytes(Integer.parseInt(value));
                    default ->
                        throw new CliSettings.Refused(
                                "topic %s: unknown word '%s'; see topics verify --help".formatted(spec.name(), word));
                };
            } catch (DateTimeException | NumberFormatException e) {
                throw new CliSettings.Refused(
                        "topic %s: %s=%s is no duration (PT24H) or number".formatted(spec.name(), word, value));
            }
        }
    }
}
