package dev.eventbus.cli;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.redrive.PlannedKey;
import dev.eventbus.consumer.redrive.PlannedLetter;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.consumer.redrive.Standing;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What commands about dead letters and parked keys have: which group, which events, and how they are shown. */
abstract class LetterAction extends Action {

    private static final Instant EVER = Instant.EPOCH;
    /** Of a redrive: the group handles these without being told to. */
    private static final Set<Standing> ON_THEIR_WAY = Set.of(Standing.UNDER_WAY, Standing.WAITING);

    private static final String THERE_ARE_MORE =
            "There are more letters than one plan takes (%,d): select fewer, or come back when these are dealt with."
                    .formatted(Redrive.MOST_LETTERS);

    private static final Instant NEVER = Instant.parse("9999-12-31T00:00:00Z");

    @Option(names = "--group", paramLabel = "GROUP", description = "The group that failed; default: setting group.")
    @Nullable
    String group;

    @Option(names = "--topic", paramLabel = "TOPIC", description = "Only events of this topic, by its logical name.")
    @Nullable
    String topic;

    @Option(names = "--key", paramLabel = "KEY", description = "Only events of this key.")
    @Nullable
    String key;

    @Option(
            names = "--key-hash",
            paramLabel = "HASH",
            description = "Only events of the key of this hash, as lists and logs have it; the same as --key.")
    @Nullable
    String keyHash;

    @Option(
            names = "--reason",
            paramLabel = "REASON",
            description = "Only what failed for this reason: ${COMPLETION-CANDIDATES}.")
    @Nullable
    FailureReason reason;

    @Option(
            names = "--from",
            paramLabel = "TIME",
            description = "Only what failed then or later, 2026-01-31T03:00:00Z.")
    @Nullable
    Instant from;

    @Option(names = "--to", paramLabel = "TIME", description = "Only what failed before.")
    @Nullable
    Instant to;

    @Option(
            names = "--most-redrives",
            paramLabel = "N",
            defaultValue = "" + Redrive.DEFAULT_MOST_REDRIVES,
            description = "How often an event is redriven at most; default ${DEFAULT-VALUE}.")
    int mostRedrives = Redrive.DEFAULT_MOST_REDRIVES;

    String group(CliSettings settings) {
        String named = group;
        return named == null ? settings.require("group") : named;
    }

    /** All that was selected. */
    Redrive selected(Redrive all) {
        if (key != null && keyHash != null) {
            throw new CliSettings.Refused("say --key or --key-hash, one of them");
        }
        Redrive some = all.mostRedrives(mostRedrives);
        String onlyTopic = topic;
        String onlyKey = key;
        String onlyHash = keyHash;
        FailureReason onlyReason = reason;
        some = onlyTopic == null ? some : some.topic(onlyTopic);
        some = onlyHash == null ? some : some.keyHash(onlyHash);
        some = onlyKey == null ? some : some.key(onlyKey);
        some = onlyReason == null ? some : some.reason(onlyReason);
        return from == null && to == null ? some : some.between(from == null ? EVER : from, to == null ? NEVER : to);
    }

    // ---- showing

    Report letters(RedrivePlan plan) {
        CliSettings settings = settings();
        List<List<@Nullable Object>> rows = new ArrayList<>();
        for (PlannedLetter letter : plan.letters()) {
            List<@Nullable Object> row = new ArrayList<>();
            row.add("%d@%d".formatted(letter.partition(), letter.offset()));
            row.add("%s/%d@%d"
                    .formatted(
                            settings.logicalTopic(letter.origin().topic()),
                            letter.origin().partition(),
                            letter.origin().offset()));
            row.add(letter.eventId());
            row.add(letter.keyHash());
            row.add(letter.origin().reason());
            row.add(letter.origin().attempts());
            row.add(letter.origin().redrives());
            row.add(letter.origin().failedAt());
            row.add(letter.standing());
            rows.add(row);
        }
        return new Report()
                .table(
                        "letters",
                        List.of(
                                "letter",
                                "event",
                                "eventId",
                                "keyHash",
                                "reason",
                                "attempts",
                                "redrives",
                                "failedAt",
                                "standing"),
                        rows)
                .fact("thereAreMore", plan.hasMore());
    }

    /** Writes all of them; the exit code. */
    int show(RedrivePlan plan) throws IOException {
        long lines = plan.export(out());
        out().flush();
        if (plan.hasMore()) {
            err().println(THERE_ARE_MORE);
        }
        return lines == 0 || plan.hasMore() ? EventbusCli.WRONG : EventbusCli.OK;
    }

    Report shown(RedrivePlan plan) {
        CliSettings settings = settings();
        Report report = new Report()
                .fact("toRedrive", plan.size())
                .fact("toDiscard", plan.discardable())
                .fact("oldest", plan.oldest().orElse(null))
                .table("reasons", List.of("reason", "letters"), counts(plan.reasons()))
                .table("standings", List.of("standing", "letters"), counts(plan.standings()))
                .fact("olderCopies", plan.copies())
                .fact("recordsOfOthers", plan.others())
                .fact("thereAreMore", plan.hasMore());
        List<List<Object>> rows = new ArrayList<>();
        for (PlannedKey of : plan.keys()) {
            rows.add(List.of(
                    settings.logicalTopic(of.topic()),
                    of.keyHash(),
                    of.letters(),
                    of.parked(),
                    of.oldest(),
                    of.laterHandled(),
                    of.exact()));
        }
        List<List<Object>> leftOut = new ArrayList<>();
        for (PlannedKey of : plan.leftOut()) {
            leftOut.add(
                    List.of(settings.logicalTopic(of.topic()), of.keyHash(), of.parked(), of.oldest(), of.standing()));
        }
        return report.table(
                        "keys",
                        List.of("topic", "keyHash", "letters", "parked", "oldest", "laterHandled", "thatIsAll"),
                        rows)
                .table("keysLeftOut", List.of("topic", "keyHash", "parked", "since", "standing"), leftOut)
                .fact("otherParkedKeys", plan.unselectedKeys());
    }

    private static List<List<Object>> counts(Map<? extends Enum<?>, Long> counts) {
        List<List<Object>> rows = new ArrayList<>();
        counts.forEach((name, count) -> rows.add(List.of(name, count)));
        return rows;
    }

    /**
     * Also says in words what to do next.
     *
     * @param asWanted how events stand that are, or come by themselves, where they were to be brought
     */
    int tell(RedrivePlan plan, RedriveResult result, Set<Standing> asWanted) {
        print(new Report()
                .fact("run", result.id())
                .fact("handedOver", result.handedOver())
                .fact("applied", result.applied())
                .fact("failedAgain", result.failedAgain())
                .fact("unknown", result.unknown())
                .fact("waiting", result.waiting())
                .fact("discarded", result.discarded())
                .table("leftAlone", List.of("standing", "events"), counts(new TreeMap<>(result.leftAlone())))
                .table(
                        "refused",
                        List.of("why"),
                        result.refused().stream().map(List::of).toList())
                .fact("stopped", result.stopped().orElse(null))
                .fact("thereAreMore", plan.hasMore()));
        Map<Standing, Long> open = new TreeMap<>(result.leftAlone());
        open.keySet().removeIf(Standing::isSettled);
        long copies = copiesOf(plan, Stream.concat(plan.keys().stream(), plan.leftOut().stream()));
        open.computeIfPresent(Standing.PARKED, (parked, events) -> events > copies ? events - copies : null);
        say(open);
        if (plan.hasMore()) {
            err().println(THERE_ARE_MORE);
        }
        boolean wrong = result.stopped().isPresent() || plan.hasMore() || result.failedAgain() + result.unknown() > 0;
        return wrong || !asWanted.containsAll(open.keySet())
                ? EventbusCli.WRONG
                : result.waiting() > 0 || !open.isEmpty() ? EventbusCli.UNDER_WAY : EventbusCli.OK;
    }

    /** Letters of events that wait with one of those keys, which says how they stand. */
    private static long copiesOf(RedrivePlan plan, Stream<PlannedKey> keys) {
        Set<List<@Nullable String>> known =
                keys.map(key -> keyOf(key.topic(), key.keyHash())).collect(Collectors.toSet());
        return plan.letters().stream()
                .filter(letter -> letter.standing() == Standing.PARKED)
                .filter(letter -> known.contains(keyOf(letter.origin().topic(), letter.keyHash())))
                .count();
    }

    private static List<@Nullable String> keyOf(String topic, @Nullable String hash) {
        return Arrays.asList(topic, hash);
    }

    /** How those stand that are not where they were to be brought, and what to do. */
    void say(Map<Standing, Long> open) {
        open.forEach((standing, events) ->
                err().println("%d events are %s: %s.".formatted(events, standing, whatToDo(standing))));
    }

    private static String whatToDo(Standing standing) {
        return switch (standing) {
            case UNDER_WAY ->
                "the group handles them next, or has not come to them; name their key to discard them all the same";
            case WAITING -> "they wait for their key's next try, which comes by itself; name the key to do it now";
            case TOO_OFTEN -> "they were redriven as often as may be; raise --most-redrives, or discard them";
            case PARKED ->
                "they wait with their key, which goes as a whole, behind one that has failed again or that was not selected; then select the key, not the event";
            case HELD -> "somebody has them or their keys in hand, or one before them could not go; try again";
            case GONE -> "retention has taken them away since they were planned";
            case REFUSED -> "the inbox's database refuses them, as was said; leave them out, or discard them";
            case COMPACTED -> "their topic is compacted, where an old event takes the place of newer ones";
            case NO_OFFSETS -> "Kafka has no offsets of the group; start its runners, then plan again";
            case FOREIGN_TOPIC -> "the group has never read what they name; they may be forged";
            case ID_CONFLICT -> "their ids belong to other events; publish them again, or discard them";
            case INCOMPLETE, WITHOUT_KEY -> "they cannot be handled as they are; publish them again, or discard them";
            default -> "look at them with list and show";
        };
    }

    /** What commands have that change something. */
    abstract static class Change extends LetterAction {

        @Option(names = "--note", required = true, paramLabel = "TEXT", description = "Why, for the audit.")
        String note = "";

        @Option(names = "--yes", description = "Do not ask.")
        boolean yes;

        @Option(
                names = "--by",
                paramLabel = "NAME",
                defaultValue = "${sys:user.name}",
                description = "Who asks, for the audit; default the user of this machine.")
        String by = "unknown";

        @Option(
                names = "--per-second",
                paramLabel = "N",
                defaultValue = "" + Redrive.DEFAULT_PER_SECOND,
                description = "Events handed over in a second; default ${DEFAULT-VALUE}.")
        int perSecond = Redrive.DEFAULT_PER_SECOND;

        @Option(
                names = "--wait",
                paramLabel = "TIME",
                defaultValue = "PT30S",
                description = "How long to wait for what was handed over, PT30S; default ${DEFAULT-VALUE}.")
        Duration wait = Duration.ofSeconds(30);

        Redrive paced(Redrive redrive) {
            return redrive.requestedBy(by).perSecond(perSecond).waits(wait);
        }

        /** Whether something was said that events must fit. */
        boolean isSelective() {
            return topic != null || key != null || keyHash != null || reason != null || from != null || to != null;
        }

        /** Shows the plan, asks, and runs it. */
        int redrive(RedrivePlan plan) {
            if (plan.size() == 0) {
                return nothing(plan, "redrive", ON_THEIR_WAY);
            }
            showPlan(plan);
            return isConfirmed(yes, "Redrive %d events?".formatted(plan.size()))
                    ? tell(plan, plan.run(note), ON_THEIR_WAY)
                    : EventbusCli.NOT_CONFIRMED;
        }

        /** Shows the plan, asks, and gives it up. */
        int discard(RedrivePlan plan) {
            if (plan.discardable() == 0) {
                return nothing(plan, "discard", Set.of());
            }
            showPlan(plan);
            return isConfirmed(yes, "Discard %d events for good?".formatted(plan.discardable()))
                    ? tell(plan, plan.discard(note), Set.of())
                    : EventbusCli.NOT_CONFIRMED;
        }

        /**
         * Says why.
         *
         * @param asWanted as for {@link #tell}
         */
        private int nothing(RedrivePlan plan, String verb, Set<Standing> asWanted) {
            print(shown(plan));
            err().println("There is nothing to %s.".formatted(verb));
            Map<Standing, Long> open = new TreeMap<>(plan.standings());
            open.keySet().removeIf(Standing::isSettled);
            long parked = open.getOrDefault(Standing.PARKED, 0L) - copiesOf(plan, plan.leftOut().stream());
            if (parked > 0) {
                open.put(Standing.PARKED, parked);
            } else {
                open.remove(Standing.PARKED);
            }
            say(open);
            if (plan.hasMore()) {
                err().println(THERE_ARE_MORE);
            }
            if (plan.unselectedKeys() > 0) {
                err().println("%d other parked keys of the group are not what was selected: see parked list."
                        .formatted(plan.unselectedKeys()));
            }
            if (plan.standings().isEmpty() && isSelective()) {
                err().println("No letter and no parked key is as was said.");
                return EventbusCli.WRONG;
            }
            if (plan.hasMore() || !asWanted.containsAll(open.keySet())) {
                return EventbusCli.WRONG;
            }
            return open.isEmpty() ? EventbusCli.OK : EventbusCli.UNDER_WAY;
        }

        /** Beside a JSON document there is none. */
        private void showPlan(RedrivePlan plan) {
            if (!json) {
                print(shown(plan));
            }
        }
    }
}
