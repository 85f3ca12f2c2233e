package dev.eventbus.testkit;

import dev.eventbus.internal.Checks;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.common.TopicPartition;

/** What is to go wrong, asked where it would. Guarded by "this". */
final class FaultPlan {

    enum Call {
        HANDLER_OF_KEY("forKey"),
        SEND_TO_TOPIC("forSendsTo"),
        ANSWER_FROM_TOPIC("forAnswersFrom"),
        COMMIT_OF_GROUP("forCommitsOf"),
        COMMIT_ANSWER_TO_GROUP("forCommitAnswersTo"),
        DATABASE_COMMIT("forDatabaseCommits"),
        DATABASE_COMMIT_ANSWER("forDatabaseCommitAnswers");

        private final String method;

        Call(String method) {
            this.method = method;
        }
    }

    private record Target(Call call, String of) {}

    /** What there is only one of in a bus: its database. */
    static final String THE_ONE = "";

    /** How many calls were to fail, and how many still are. */
    private record Failures(int times, int left) {}

    private final Map<Target, Failures> failures = new LinkedHashMap<>();
    private final Set<String> everDown = new TreeSet<>();
    private final Set<String> topicsDown = new HashSet<>();
    private final Set<TopicPartition> partitionsDown = new HashSet<>();

    /** The next {@code times} such calls fail. */
    synchronized void fail(Call call, String of, int times) {
        failures.put(new Target(call, of), new Failures(times, times));
    }

    /** Whether this call is one that was to fail; counts it. */
    synchronized boolean takes(Call call, String of) {
        Target target = new Target(call, of);
        Failures planned = failures.get(target);
        if (planned == null || planned.left() == 0) {
            return false;
        }
        failures.put(target, new Failures(planned.times(), planned.left() - 1));
        return true;
    }

    /** Failures of which none has come about, as the test asked for them. */
    synchronized List<String> unmet() {
        return failures.entrySet().stream()
                .filter(failure -> failure.getValue().left() > 0
                        && failure.getValue().left() == failure.getValue().times())
                .map(failure -> "failTimes(%d).%s(%s)"
                        .formatted(
                                failure.getValue().times(),
                                failure.getKey().call().method,
                                quoted(failure.getKey().of())))
                .toList();
    }

    private static String quoted(String of) {
        return of.equals(THE_ONE) ? "" : "\"%s\"".formatted(Checks.printable(of));
    }

    synchronized void down(String topic) {
        everDown.add(topic);
        topicsDown.add(topic);
    }

    synchronized void down(TopicPartition partition) {
        everDown.add(partition.topic());
        partitionsDown.add(partition);
    }

    /** Whether any of it was down. */
    synchronized boolean up(String topic) {
        boolean wasDown = topicsDown.remove(topic);
        return partitionsDown.removeIf(partition -> partition.topic().equals(topic)) || wasDown;
    }

    /** Topics that were down at some time, or have partitions that were. */
    synchronized List<String> everDown() {
        return List.copyOf(everDown);
    }

    synchronized boolean isDown(TopicPartition partition) {
        return topicsDown.contains(partition.topic()) || partitionsDown.contains(partition);
    }
}
