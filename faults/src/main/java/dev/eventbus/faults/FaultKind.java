package dev.eventbus.faults;

import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;

/** What can be done to the system, how often beside others, and for how long. */
enum FaultKind {
    KILL_PUBLISHER(3, On.PUBLISHER, 200, 2_000),
    KILL_RELAY(5, On.RELAY, 200, 3_000),
    KILL_CONSUMER(5, On.CONSUMER, 200, 3_000),
    FREEZE_PUBLISHER(2, On.PUBLISHER, 500, 5_000),
    FREEZE_RELAY(5, On.RELAY, 500, 9_000),
    FREEZE_CONSUMER(5, On.CONSUMER, 500, 9_000),
    RELAY_LEAVES(2, On.RELAY, 500, 4_000),
    CONSUMER_LEAVES(3, On.CONSUMER, 500, 4_000),
    HANDLER_OUTAGE(2, On.CONSUMER, 500, 3_000),
    /** One that has sent a dead letter halts, and by the time it is back what the handlers failed at is mended. */
    HEAL_AFTER_LETTER(2, On.CONSUMER, 20_000, 30_000),
    /** Of one event the handler ends its JVM, wherever it runs. Lasts until that is found out. */
    HALTING_EVENT(1, On.EVENT, 60_000, 60_000),
    KILL_REDRIVER(2, On.REDRIVER, 200, 3_000),
    FREEZE_REDRIVER(2, On.REDRIVER, 500, 5_000),
    TERMINATE_SESSIONS(5, On.DATABASE, 0, 0),
    /** The process of one session, after which the server ends all and recovers. */
    KILL_BACKEND(2, On.DATABASE, 0, 0),
    STOP_DATABASE(2, On.DATABASE, 100, 2_000),
    FREEZE_DATABASE(2, On.DATABASE, 500, 5_000),
    KILL_BROKER(3, On.BROKERS, 500, 4_000),
    FREEZE_BROKER(3, On.BROKERS, 500, 6_000),
    /** That of the consumers' group. */
    KILL_COORDINATOR(2, On.BROKERS, 500, 4_000),
    /** Less than have to be in sync, and no majority of controllers. */
    KILL_TWO_BROKERS(2, On.BROKERS, 500, 4_000),
    /** Clients and controllers reach them, they do not reach each other, so that nothing is replicated. */
    PART_BETWEEN_BROKERS(3, On.BROKERS, 1_500, 7_000),
    /** Of the topic's records; some events are larger then, and their keys wait for a person. */
    LOWER_RECORD_LIMIT(2, On.TOPIC, 3_000, 7_000),
    /** To write the topic, to read it, to write dead letters, or to be of the group. */
    REVOKE_ACL(3, On.ACLS, 500, 5_000),
    PART_BROKER(3, On.NETWORK_TO_BROKER, 500, 6_000),
    PART_BROKER_ONE_WAY(3, On.NETWORK_TO_BROKER, 500, 6_000),
    SLOW_BROKER(2, On.NETWORK_TO_BROKER, 500, 5_000),
    DROP_PRODUCE_REPLIES(4, On.NETWORK_TO_BROKER, 200, 2_000),
    DROP_OFFSET_COMMIT_REPLIES(4, On.OFFSET_COMMITS, 200, 2_000),
    PART_DATABASE(3, On.NETWORK_TO_DATABASE, 500, 6_000),
    PART_DATABASE_ONE_WAY(3, On.NETWORK_TO_DATABASE, 500, 6_000),
    SLOW_DATABASE(2, On.NETWORK_TO_DATABASE, 500, 4_000),
    SWALLOW_COMMIT_ANSWER(4, On.NETWORK_TO_DATABASE, 500, 1_500),
    SWALLOW_COMMIT(4, On.NETWORK_TO_DATABASE, 500, 1_500);

    private boolean swallowsCommits() {
        return this == SWALLOW_COMMIT || this == SWALLOW_COMMIT_ANSWER;
    }

    /** Whether it may reach a relay, or whom that speaks to, so that something is sent again. */
    boolean reachesRelays() {
        return switch (on) {
            case RELAY, DATABASE, BROKERS, TOPIC, ACLS, NETWORK_TO_BROKER -> true;
            case NETWORK_TO_DATABASE -> !swallowsCommits();
            case PUBLISHER, CONSUMER, REDRIVER, EVENT, OFFSET_COMMITS -> false;
        };
    }

    /** Whether somebody is gone, stands still or hears nobody: not only slow, asked to leave, or without an answer. */
    boolean isHard() {
        return switch (this) {
            case SLOW_BROKER,
                    SLOW_DATABASE,
                    RELAY_LEAVES,
                    CONSUMER_LEAVES,
                    HANDLER_OUTAGE,
                    LOWER_RECORD_LIMIT,
                    DROP_PRODUCE_REPLIES,
                    DROP_OFFSET_COMMIT_REPLIES,
                    SWALLOW_COMMIT,
                    SWALLOW_COMMIT_ANSWER -> false;
            default -> true;
        };
    }

    /** Whether it may reach a consumer, or whom that speaks to, so that something is handled again. */
    boolean reachesConsumers() {
        return on != On.PUBLISHER && on != On.RELAY && on != On.TOPIC;
    }

    /** How often each kind was made by its code, also those that never were. */
    static Map<String, Integer> counts(Map<FaultKind, Integer> made) {
        Map<String, Integer> counts = new TreeMap<>();
        for (FaultKind kind : values()) {
            counts.put(kind.code(), made.getOrDefault(kind, 0));
        }
        return counts;
    }

    /** What is hit; there is one fault at a time on each. */
    enum On {
        PUBLISHER(Role.PUBLISHER.instances),
        RELAY(Role.RELAY.instances),
        CONSUMER(Role.CONSUMER.instances),
        REDRIVER(Role.REDRIVER.instances),
        /** One event, and whoever runs it. */
        EVENT(1),
        DATABASE(1),
        /** All of them, so that no two faults together take more than one means to. */
        BROKERS(1),
        TOPIC(1),
        ACLS(1),
        NETWORK_TO_BROKER(Servers.BROKERS),
        /** Answers to them, from whichever broker. */
        OFFSET_COMMITS(1),
        NETWORK_TO_DATABASE(Role.values().length);

        final int targets;

        On(int targets) {
            this.targets = targets;
        }
    }

    /** What lasts no shorter comes first, so that a run does not end with it. */
    static final long LONG_MILLIS = 10_000;

    final int weight;
    final On on;
    private final int leastMillis;
    private final int mostMillis;

    FaultKind(int weight, On on, int leastMillis, int mostMillis) {
        this.weight = weight;
        this.on = on;
        this.leastMillis = leastMillis;
        this.mostMillis = mostMillis;
    }

    /** Statements of a relay commit by themselves: a publisher's commits are swallowed instead. */
    int chooseTarget(SplittableRandom random) {
        int target = random.nextInt(on.targets);
        return swallowsCommits() && target == Role.RELAY.ordinal() ? Role.PUBLISHER.ordinal() : target;
    }

    long chooseMillis(SplittableRandom random) {
        return leastMillis == mostMillis ? leastMillis : random.nextLong(leastMillis, mostMillis);
    }

    boolean isLong() {
        return leastMillis >= LONG_MILLIS;
    }

    String code() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
