package dev.eventbus.consumer;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import dev.eventbus.Event;
import dev.eventbus.consumer.ConsumerRunnerBuilder.Settings;
import dev.eventbus.consumer.MockKafka.Asset;
import dev.eventbus.consumer.SimulatedGroup.CommitFault;
import dev.eventbus.consumer.SimulatedGroup.Log;
import dev.eventbus.consumer.SimulatedGroup.Member;
import io.github.resilience4j.retry.RetryConfig;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.LongStream;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.slf4j.LoggerFactory;

/**
 * Seeded lives of a group of three poll loops in one thread and virtual time. Partitions are handed over, lost and come back,
 * members close, die and join, commits and letters fail, while handlers run: whatever runs may be in the middle of a handler or
 * of a hand-over of another, and a member may die in the middle of its own. The invariants I1 to I5, I7 and I8 are judged from what
 * has truly happened.
 */
@Execution(ExecutionMode.CONCURRENT)
class GroupSimulationTest {

    private static final Logger LOG = (Logger) LoggerFactory.getLogger("dev.eventbus.consumer");

    /** {@code -Deventbus.lives=100000} for a night. */
    private static final int LIVES = Integer.getInteger("eventbus.lives", 7_000);

    /** The one that is lived now. */
    private @Nullable Life life;

    private final Settings settings = ConsumerRunner.builder(MockKafka.create(), "g")
            .on(
                    MockKafka.ASSET,
                    (event, delivery) -> Objects.requireNonNull(life).handle(event, delivery))
            .concurrency(3)
            .retry(RetryConfig.custom()
                    .maxAttempts(2)
                    .waitDuration(Duration.ofMillis(300))
                    .build())
            .afterRetries(AfterRetries.deadLetter(MockKafka.LETTERS))
            .settings();

    @BeforeAll
    static void quiet() {
        LOG.setLevel(Level.OFF);
    }

    @AfterAll
    static void loud() {
        LOG.setLevel(null);
    }

    @Test
    void I1_to_I8_hold_in_every_seeded_life_of_a_group() {
        LongStream.range(0, LIVES).forEach(seed -> live(seed, false));
    }

    @Test
    void nothing_is_handled_twice_when_members_come_and_go_and_handlers_and_retries_are_short() {
        LongStream.range(0, LIVES / 3).forEach(seed -> live(seed, true));
    }

    private void live(long seed, boolean calm) {
        if (!lived(seed, calm, false).violations.isEmpty()) {
            SimulatedGroup again = lived(seed, calm, true);
            throw new AssertionError(
                    "seed %d: %s%n%s".formatted(seed, again.violations, String.join("\n", again.story)));
        }
    }

    private SimulatedGroup lived(long seed, boolean calm, boolean told) {
        Life now = new Life(seed, calm, told);
        life = now;
        now.live();
        return now.group;
    }

    private final class Life {
        private static final int MEMBERS = 3;
        private static final int ACTS = 70;

        private final boolean calm;
        private final SplittableRandom random;
        private final SimulatedGroup group;
        private final List<Member> members = new ArrayList<>();
        private final Map<String, Member> all = new HashMap<>();
        private int joined;
        private int depth;

        /** Of a calm life; a hand-over waits for the retries of so few. */
        private int failuresLeft = 2;

        private boolean settling;

        Life(long seed, boolean calm, boolean told) {
            this.calm = calm;
            this.random = new SplittableRandom(seed);
            this.group = new SimulatedGroup(random, told);
            for (int i = 0; i < MEMBERS; i++) {
                members.add(joining());
            }
            for (int i = 0; i < 2; i++) {
                Log log = new Log(i, any());
                group.logs.put(log.id, log);
            }
        }

        void live() {
            for (int i = 0; i < ACTS; i++) {
                act();
            }
            settle();
        }

        private Member joining() {
            Member member = group.new Member("m" + joined++, this::meanwhile, calm ? 1_000 : 3);
            member.runs(new PollLoop(of(member, calm), member.tasks::add, System::nanoTime));
            all.put(member.name, member);
            return member;
        }

        /** What all members share is made once: it takes longer than a life. */
        private Settings of(Member member, boolean calm) {
            return new Settings(
                    member,
                    settings.group(),
                    settings.routes(),
                    settings.retry(),
                    settings.classify(),
                    settings.afterRetries(),
                    settings.listener(),
                    settings.concurrency(),
                    null,
                    settings.maxRecords(),
                    settings.maxBytes(),
                    calm ? Duration.ofSeconds(10) : Duration.ofNanos(1));
        }

        private Member any() {
            return members.get(random.nextInt(members.size()));
        }

        private Log anyLog() {
            return group.log(new TopicPartition(MockKafka.TOPIC, random.nextInt(2)));
        }

        // ---- what happens

        private void act() {
            switch (random.nextInt(20)) {
                case 0, 1, 2, 3 -> group.append(anyLog(), "k" + random.nextInt(4));
                case 4, 5, 6, 7, 8, 9 -> round(any());
                case 10, 11, 12, 13, 14 -> work(any());
                case 15 -> acknowledge(any());
                case 16 -> group.now = group.now.plusMillis(random.nextInt(400));
                default -> {
                    if (calm) {
                        calmly();
                    } else {
                        fail();
                    }
                }
            }
        }

        private void calmly() {
            if (depth == 0 && random.nextInt(3) > 0) {
                anyLog().wanted = any();
            } else if (depth == 0) {
                close(any(), Duration.ofSeconds(10));
            }
        }

        private void fail() {
            Member member = any();
            switch (random.nextInt(7)) {
                case 0, 1 -> anyLog().wanted = member;
                case 2 -> expel(member);
                case 3 -> die(member);
                case 4 -> close(member, random.nextBoolean() ? Duration.ofSeconds(10) : Duration.ofNanos(1));
                case 5 -> member.commitFault = CommitFault.values()[random.nextInt(3)];
                default -> member.pollFails = random.nextInt(3) == 0;
            }
        }

        private void round(Member member) {
            if (!member.inRound && (!calm || member.running.isEmpty())) {
                member.round();
            }
        }

        private void work(Member member) {
            Runnable task = member.tasks.poll();
            if (task != null) {
                task.run();
            }
        }

        private void workAll(Member member) {
            while (!member.tasks.isEmpty()) {
                work(member);
            }
        }

        private void acknowledge(Member member) {
            if (!member.pending.isEmpty()) {
                member.letterEnds(settling || random.nextBoolean());
            }
        }

        /** Its session has timed out: others have its partitions before it knows. */
        private void expel(Member member) {
            member.expelled = true;
            group.tell("%s is expelled", member.name);
            for (Log log : group.logs.values()) {
                if (log.owner == member) {
                    log.owner = null;
                    log.wanted = any();
                }
            }
        }

        /** Wherever it is: in the middle of a handler, of a hand-over, of its last round. */
        private void die(Member member) {
            group.tell("%s dies, in its handlers are %s", member.name, member.running);
            member.dies();
            replace(member);
        }

        private void close(Member member, Duration limit) {
            if (member.inRound || member.leaving || calm && !member.running.isEmpty()) {
                return;
            }
            member.leaving = true;
            PollLoop loop = member.loop();
            group.tell("%s closes within %s", member.name, limit);
            loop.close(limit);
            for (int i = calm ? 50 : random.nextInt(5); i > 0 && !loop.isDrained() && !member.isDead(); i--) {
                member.round();
                for (int tasks = random.nextInt(3); tasks > 0; tasks--) {
                    work(member);
                }
                if (calm) {
                    meanwhile();
                }
            }
            if (!member.isDead()) {
                member.end();
            }
            if (!member.isDead()) {
                replace(member);
            }
        }

        private void replace(Member member) {
            member.isGone();
            Member next = joining();
            members.set(members.indexOf(member), next);
            group.logs.values().forEach(log -> log.wanted = log.wanted == member ? any() : log.wanted);
        }

        /** What others do while a hand-over waits. */
        private void meanwhile() {
            if (calm) {
                group.now = group.now.plusMillis(50);
                members.forEach(this::workAll);
                return;
            }
            for (int i = settling ? 0 : random.nextInt(4); i > 0; i--) {
                act();
            }
        }

        // ---- user code

        private void handle(Event<? extends Asset> event, Delivery delivery) {
            Member member = Objects.requireNonNull(all.get(SimulatedGroup.memberOf(delivery.headers())));
            member.mustLive();
            Log log = group.log(new TopicPartition(delivery.topic(), delivery.partition()));
            int epoch = SimulatedGroup.epochOf(delivery.headers());
            long offset = delivery.offset();
            String lane = delivery.partition() + event.key();
            String id = "%s@%d in epoch %d".formatted(lane, offset, epoch);
            group.tell("%s starts %s", member.name, id);
            judgeStart(member, log, event.key(), offset);
            if (!member.running.add(lane)) {
                group.violated("I4: %s runs two of %s".formatted(member.name, lane));
            }
            if (member.dying.contains(id)) {
                group.violated("I8: %s runs again, though its handler has failed for good".formatted(id));
            }
            depth++;
            while (depth < 4 && !settling && random.nextInt(3) == 0) {
                act();
            }
            depth--;
            member.running.remove(lane);
            member.mustLive();
            if (!settling && random.nextInt(3) == 0 && (!calm || delivery.attempt() == 1 && failuresLeft-- > 0)) {
                group.tell("%s fails %s", member.name, id);
                if (delivery.attempt() == 2) {
                    member.dying.add(id);
                }
                throw new IllegalStateException("no luck");
            }
            group.tell("%s ends %s", member.name, id);
            log.ended(epoch, offset);
            log.successes.merge(offset, 1, Integer::sum);
        }

        private void judgeStart(Member member, Log log, String key, long offset) {
            for (Map.Entry<Long, String> before : log.keys.headMap(offset).entrySet()) {
                if (before.getValue().equals(key) && !log.ended.contains(before.getKey())) {
                    group.violated("I5: %s starts %s@%d before %d has ended"
                            .formatted(member.name, key, offset, before.getKey()));
                }
            }
        }

        // ---- the end

        /** Without faults all comes back by itself, and every event has ended and is committed. */
        private void settle() {
            settling = true;
            for (int i = 0; i < 200 && !isDone(); i++) {
                for (Member member : members) {
                    member.commitFault = null;
                    member.pollFails = false;
                    member.round();
                    for (int n = 0; n < 5; n++) {
                        work(member);
                        acknowledge(member);
                    }
                }
                group.now = group.now.plusMillis(150);
            }
            for (Log log : group.logs.values()) {
                Set<Long> lost = new HashSet<>(log.keys.keySet());
                lost.removeAll(log.ended);
                if (!lost.isEmpty() || !log.isDone()) {
                    group.violated("I9: %s is stuck at %d of %d, %s have not ended"
                            .formatted(log.id, log.committed, log.end, lost));
                }
                log.successes.forEach((offset, successes) -> {
                    if (calm && successes > 1) {
                        group.violated("%s@%d was handled %d times".formatted(log.id, offset, successes));
                    }
                });
            }
            for (Member member : members) {
                member.loop().close(Duration.ofSeconds(1));
                member.round();
                if (!member.loop().isDrained()) {
                    group.violated("I7: %s has something in flight".formatted(member.name));
                }
                member.end();
            }
        }

        private boolean isDone() {
            return group.logs.values().stream().allMatch(Log::isDone);
        }
    }
}
