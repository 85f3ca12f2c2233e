package dev.eventbus.testkit;

import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/**
 * One consumer group: who is in it, who owns which partition, and what was committed. Guarded by the broker.
 *
 * <p>The protocol is the cooperative one. A change of members or partitions only decides who <em>shall</em> own what, moving as
 * little as balance allows. Each member learns of it in its own poll: it gives up what is no longer its own, and takes what is
 * its own once the owner before has given it up. So a partition never has two owners, and a member that does not poll keeps what
 * it has, unless it is expelled.
 */
final class GroupState {

    static final Comparator<TopicPartition> BY_NAME =
            Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition);

    /** Members in the order in which they joined, with the topics they want. */
    private final Map<String, Set<String>> members = new LinkedHashMap<>();

    private final Map<TopicPartition, OffsetAndMetadata> committed = new HashMap<>();
    private final Map<TopicPartition, String> owners = new HashMap<>();
    private Map<TopicPartition, String> target = new HashMap<>();

    /** Whether the members have changed since the target was made. */
    private boolean membersChanged;

    /** How many partitions there were when the target was made. */
    private int partitionsSettled;

    /** Members that give up everything at their next poll. */
    private final Set<String> recalled = new HashSet<>();

    private int generation;

    void join(String member, Set<String> topics) {
        membersChanged |= !topics.equals(members.put(member, Set.copyOf(topics)));
    }

    /** The member goes, by its own will or not; what it owned is free. */
    void remove(String member) {
        membersChanged |= members.remove(member) != null;
        recalled.remove(member);
        owners.values().removeIf(member::equals);
    }

    boolean has(String member) {
        return members.containsKey(member);
    }

    Set<String> members() {
        return Set.copyOf(members.keySet());
    }

    int generation() {
        return generation;
    }

    /** Everybody gives up everything; each partition then goes to the member after its owner, if there is more than one. */
    void recallAll() {
        target.replaceAll(this::next);
        recalled.addAll(members.keySet());
        generation++;
    }

    private String next(TopicPartition partition, String owner) {
        List<String> candidates = members.keySet().stream()
                .filter(member -> wants(member, partition))
                .toList();
        return candidates.get((candidates.indexOf(owner) + 1) % candidates.size());
    }

    /**
     * Whether members or partitions have changed since it was decided who shall own what.
     *
     * @param count of all partitions that exist; it only grows
     */
    boolean isUnsettled(int count) {
        return membersChanged || count != partitionsSettled;
    }

    /**
     * Decides anew who shall own what.
     *
     * @param partitions of the topics that members want
     */
    void settle(Set<TopicPartition> partitions, int count) {
        target = balanced(partitions);
        membersChanged = false;
        partitionsSettled = count;
        generation++;
    }

    Set<String> topics() {
        return members.values().stream().flatMap(Set::stream).collect(Collectors.toSet());
    }

    /** What is owned by some member. */
    Set<TopicPartition> owned() {
        Set<TopicPartition> owned = sorted();
        owned.addAll(owners.keySet());
        return owned;
    }

    /** What the member owns and is to give up. */
    Set<TopicPartition> toRevoke(String member) {
        boolean everything = recalled.remove(member);
        return owners.entrySet().stream()
                .filter(owned -> owned.getValue().equals(member))
                .map(Map.Entry::getKey)
                .filter(partition -> everything || !member.equals(target.get(partition)))
                .collect(Collectors.toCollection(GroupState::sorted));
    }

    void release(String member, Set<TopicPartition> partitions) {
        partitions.forEach(partition -> owners.remove(partition, member));
    }

    /** Gives the member what is meant for it and owned by nobody. */
    Set<TopicPartition> take(String member) {
        Set<TopicPartition> taken = sorted();
        target.forEach((partition, owner) -> {
            if (owner.equals(member) && owners.putIfAbsent(partition, member) == null) {
                taken.add(partition);
            }
        });
        return taken;
    }

    void commit(Map<TopicPartition, OffsetAndMetadata> offsets) {
        committed.putAll(offsets);
    }

    @Nullable
    OffsetAndMetadata committed(TopicPartition partition) {
        return committed.get(partition);
    }

    private Map<TopicPartition, String> balanced(Set<TopicPartition> partitions) {
        Map<TopicPartition, String> dealt = new LinkedHashMap<>();
        List<TopicPartition> all = partitions.stream().sorted(BY_NAME).toList();
        for (TopicPartition partition : all) {
            String before = target.get(partition);
            if (before != null && wants(before, partition)) {
                dealt.put(partition, before);
            }
        }
        for (TopicPartition partition : all) {
            if (!dealt.containsKey(partition)) {
                poorest(partition, dealt).ifPresent(member -> dealt.put(partition, member));
            }
        }
        for (TopicPartition partition : all) {
            String owner = dealt.get(partition);
            poorest(partition, dealt)
                    .filter(poor -> owner != null && share(poor, dealt) + 1 < share(owner, dealt))
                    .ifPresent(poor -> dealt.put(partition, poor));
        }
        return dealt;
    }

    private Optional<String> poorest(TopicPartition partition, Map<TopicPartition, String> dealt) {
        return members.keySet().stream()
                .filter(member -> wants(member, partition))
                .min(Comparator.comparingLong(member -> share(member, dealt)));
    }

    private boolean wants(String member, TopicPartition partition) {
        Set<String> topics = members.get(member);
        return topics != null && topics.contains(partition.topic());
    }

    private static long share(String member, Map<TopicPartition, String> dealt) {
        return dealt.values().stream().filter(member::equals).count();
    }

    private static TreeSet<TopicPartition> sorted() {
        return new TreeSet<>(BY_NAME);
    }
}
