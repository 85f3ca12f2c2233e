package dev.eventbus.consumer.redrive;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.internal.Checks;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.time.Instant;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Handles again what a group could not handle: its dead letters, and its parked keys. From any process that reaches Kafka and, for a
 * group with an inbox, the inbox's database; look first, then run what was seen.
 *
 * <pre>{@code
 * RedrivePlan plan = Redrive.of(kafka, "ledger.asset.events", "dlq.events", inbox)
 *     .reason(FailureReason.ATTEMPTS_EXHAUSTED)
 *     .plan();
 * RedriveResult result = plan.run("ticket 4711: the currency table was empty");
 * }</pre>
 *
 * <p><b>With an inbox</b> the topic is never touched. A letter's bytes become a row of {@code eventbus_parked_event}, before later events
 * of its key that wait there; the runner that owns its partition handles it, before live events of the key, and its mark becomes DONE in
 * the handler's transaction. Two who redrive at once give one effect. Its runners need the same inbox; an event that fails again
 * returns to its place. Every run is a line of {@code eventbus_redrive}.
 *
 * <p><b>Without an inbox</b> a letter goes to the partition that it came from and to nowhere else, with the present time and two headers,
 * by which other groups skip and count it. Readers that are not of this library see an old event after newer ones. It is refused on
 * compacted topics, where it would erase newer events, and on topics that the group has never read.
 *
 * <p>Where later events of the key have been handled since, a redrive applies an old event last; only a parked key keeps its order.
 * The plan says which keys that are.
 *
 * <p>Immutable; each method of the selection gives another one, and all that is selected must fit. Nothing of an event but ids and
 * positions reaches a log.
 */
public final class Redrive {

    /** Default: how often an event is redriven at most. */
    public static final int DEFAULT_MOST_REDRIVES = 3;

    /** Default: events handed over in a second. */
    public static final int DEFAULT_PER_SECOND = 100;

    /** Default: how many events may fail until a run stops. */
    public static final int DEFAULT_STOPS_AFTER = 3;

    /** Letters that one plan has at most; plan again for the rest. */
    public static final int MOST_LETTERS = 10_000;

    /** Records of one partition that a plan reads behind its oldest letter, to count later events of its keys. */
    public static final int MOST_READ = 1_000_000;

    /** Whose letters, and where they are. */
    record Source(
            KafkaCluster kafka,
            String group,
            @Nullable String letters,
            @Nullable JdbcInbox inbox) {

        /** Physical dead-letter topic. */
        String topic() {
            return kafka.physicalTopic(Objects.requireNonNull(letters));
        }
    }

    /** How a plan is run. */
    record Pace(int perSecond, int mostRedrives, int stopsAfter, Duration waits, String requestedBy) {}

    private final Source source;
    private final Selection selection;
    private final Pace pace;

    private Redrive(Source source, Selection selection, Pace pace) {
        this.source = source;
        this.selection = selection;
        this.pace = pace;
    }

    private static Redrive of(Source source) {
        return new Redrive(
                source,
                Selection.ALL,
                new Pace(DEFAULT_PER_SECOND, DEFAULT_MOST_REDRIVES, DEFAULT_STOPS_AFTER, Duration.ZERO, "not said"));
    }

    /**
     * For a group without an inbox.
     *
     * @param letters logical name of its dead-letter topic
     */
    public static Redrive of(KafkaCluster kafka, String group, String letters) {
        return of(new Source(
                kafka, Checks.notBlank("group", group), Checks.topicName("dead-letter topic", letters), null));
    }

    /**
     * For a group with an inbox.
     *
     * @param letters logical name of its dead-letter topic
     */
    public static Redrive of(KafkaCluster kafka, String group, String letters, JdbcInbox inbox) {
        return of(new Source(
                kafka,
                Checks.notBlank("group", group),
                Checks.topicName("dead-letter topic", letters),
                Objects.requireNonNull(inbox, "inbox")));
    }

    /** For the parked keys of a group alone: no letter is looked at, and no topic is read. The cluster gives the time. */
    public static Redrive ofParked(KafkaCluster kafka, String group, JdbcInbox inbox) {
        return of(new Source(kafka, Checks.notBlank("group", group), null, Objects.requireNonNull(inbox, "inbox")));
    }

    // ---- which

    /**
     * Only events of this topic.
     *
     * @param topic logical name
     */
    public Redrive topic(String topic) {
        return with(new Selection(
                source.kafka().physicalTopic(Checks.topicName("topic", topic)),
                selection.key(),
                selection.reason(),
                selection.from(),
                selection.to(),
                selection.eventId()));
    }

    /** Only events of this key. */
    public Redrive key(String key) {
        return key(key.getBytes(UTF_8));
    }

    /** Only events of this raw key. With it a key that waits for its next try is redriven too, and one that is being redriven can be discarded. */
    public Redrive key(byte[] key) {
        return with(Selection.Key.of(key));
    }

    /** As {@link #key(byte[])}, for who has only the key's hash from a list, a log line or {@code runner.explain}: see {@link KeyHash}. */
    public Redrive keyHash(String hash) {
        return with(new Selection.Key(Checks.notBlank("keyHash", hash), null));
    }

    private Redrive with(Selection.Key key) {
        return with(new Selection(
                selection.topic(), key, selection.reason(), selection.from(), selection.to(), selection.eventId()));
    }

    /** Only what failed for this reason. */
    public Redrive reason(FailureReason reason) {
        return with(new Selection(
                selection.topic(),
                selection.key(),
                Objects.requireNonNull(reason, "reason"),
                selection.from(),
                selection.to(),
                selection.eventId()));
    }

    /**
     * Only letters that failed last, and keys that were parked, within a time.
     *
     * @param from inclusive
     * @param to exclusive
     */
    public Redrive between(Instant from, Instant to) {
        if (!from.isBefore(to)) {
            throw new IllegalArgumentException("from must be before to, was %s and %s".formatted(from, to));
        }
        return with(
                new Selection(selection.topic(), selection.key(), selection.reason(), from, to, selection.eventId()));
    }

    /** Only the dead letter of this event. */
    public Redrive event(String eventId) {
        return with(new Selection(
                selection.topic(),
                selection.key(),
                selection.reason(),
                selection.from(),
                selection.to(),
                Checks.notBlank("event", eventId)));
    }

    private Redrive with(Selection narrower) {
        return new Redrive(source, narrower, pace);
    }

    // ---- how

    /**
     * Events handed over in a second, 1 to 10,000; default {@value #DEFAULT_PER_SECOND}. They go evenly, also after a pause. A parked key goes as a
     * whole, and what comes next waits for as long as its events are worth.
     */
    public Redrive perSecond(int events) {
        Checks.inRange("perSecond", events, 1, 10_000);
        return with(new Pace(events, pace.mostRedrives(), pace.stopsAfter(), pace.waits(), pace.requestedBy()));
    }

    /**
     * How often an event is redriven at most, 1 to 1,000; default {@value #DEFAULT_MOST_REDRIVES}. One that goes round more often is left
     * alone and said so.
     */
    public Redrive mostRedrives(int times) {
        Checks.inRange("mostRedrives", times, 1, 1_000);
        return with(new Pace(pace.perSecond(), times, pace.stopsAfter(), pace.waits(), pace.requestedBy()));
    }

    /**
     * How many events may fail until a run stops, at least 1; default {@value #DEFAULT_STOPS_AFTER}. A run that {@link #waits} begins with so many
     * and goes on as they have their effect, so that a cause which nobody has mended costs no more than these. If the group has begun with
     * none of them after 5 s it goes on; once it has, each next one may take as long as the run waits. Later, and in a run that does not
     * wait, failures are looked for once a second; what was handed over by then stays so.
     */
    public Redrive stopsAfter(int failures) {
        Checks.atLeast("stopsAfter", failures, 1);
        return with(new Pace(pace.perSecond(), pace.mostRedrives(), failures, pace.waits(), pace.requestedBy()));
    }

    /**
     * How long a run waits at its end for what it has handed over, and at its beginning for each of the first, see {@link #stopsAfter};
     * default not at all. Without an inbox it cannot know. Say more than a handler takes that fails by a time-out.
     */
    public Redrive waits(Duration limit) {
        if (limit.isNegative()) {
            throw new IllegalArgumentException("waits must be >= 0, was " + limit);
        }
        return with(new Pace(
                pace.perSecond(),
                pace.mostRedrives(),
                pace.stopsAfter(),
                Checks.atMostAYear(limit),
                pace.requestedBy()));
    }

    /** Who asks, for the audit, 1 to 255 characters. */
    public Redrive requestedBy(String who) {
        Checks.inRange(
                "length of requestedBy", Checks.notBlank("requestedBy", who).length(), 1, 255);
        return with(new Pace(pace.perSecond(), pace.mostRedrives(), pace.stopsAfter(), pace.waits(), who));
    }

    private Redrive with(Pace other) {
        return new Redrive(source, selection, other);
    }

    /**
     * Looks, and changes nothing: reads the dead-letter topic as far as it reaches now, and the topics that the letters come from behind
     * the oldest of them, up to {@value #MOST_READ} records of each partition; without an inbox to their ends, since only there is it seen
     * which letters were put back before, which takes long behind an old letter.
     *
     * @throws dev.eventbus.KafkaAccessException if Kafka does not answer or the dead-letter topic is not there
     * @throws dev.eventbus.StartRefusedException if the inbox's database does not answer
     */
    public RedrivePlan plan() {
        return new Planning(source, selection, pace).plan();
    }
}
