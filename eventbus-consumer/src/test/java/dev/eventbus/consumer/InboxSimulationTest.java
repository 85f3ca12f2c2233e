package dev.eventbus.consumer;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import dev.eventbus.Event;
import dev.eventbus.consumer.ConsumerRunnerBuilder.Settings;
import dev.eventbus.consumer.MockKafka.Asset;
import dev.eventbus.consumer.SimulatedDatabase.Transaction;
import dev.eventbus.consumer.SimulatedGroup.CommitFault;
import dev.eventbus.consumer.SimulatedGroup.Log;
import dev.eventbus.consumer.SimulatedGroup.Member;
import dev.eventbus.consumer.inbox.JdbcInbox;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.PreparedStatement;
import java.sql.SQLException;
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
 * Seeded lives of a group whose members share an inbox, in one thread and virtual time. A member may die, or be taken for dead and go
 * on, at any place of its work: in a handler, before its commit and behind it, with a dead letter on its way, before the offsets.
 * Handlers fail as chance has it, so what has died would often succeed when it is read again. What has truly happened is told by the
 * database and by the letters that Kafka has.
 */
@Execution(ExecutionMode.CONCURRENT)
class InboxSimulationTest {

    private static final Logger LOG = (Logger) LoggerFactory.getLogger("dev.eventbus.consumer");

    /** {@code -Deventbus.lives=100000} for a night. */
    private static final int LIVES = Integer.getInteger("eventbus.lives", 4_000);

    /** The one that is lived now. */
    private static @Nullable Life life;

    private static final Settings SETTINGS = ConsumerRunner.builder(MockKafka.create(), "g")
            .inTransaction(
                    JdbcInbox.h2(work -> {
                        Life now = Objects.requireNonNull(life);
                        now.database.run(Objects.requireNonNull(now.group.acting), work);
                    }),
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
    void P4_to_P8_hold_wherever_members_die_and_whatever_is_taken_for_dead_and_goes_on() {
        LongStream.range(0, LIVES).forEach(seed -> {
            if (!lived(seed, false).violations.isEmpty()) {
                SimulatedGroup again = lived(seed, true);
                throw new AssertionError(
                        "seed %d: %s%n%s".formatted(seed, again.violations, String.join("\n", again.story)));
            }
        });
    }

    private static SimulatedGroup lived(long seed, boolean told) {
        Life now = new Life(seed, told);
        life = now;
        now.live();
        return now.group;
    }

    private static final class Life implements SimulatedDatabase.Hook {
        private static final int MEMBERS = 3;
        private static final int ACTS = 60;

        private final SplittableRandom random;
        private final SimulatedGroup group;
        private final SimulatedDatabase database = new SimulatedDatabase(this);
        private final List<Member> members = new ArrayList<>();

        /** Events whose letters Kafka has. */
        private final Set<String> dead = new HashSet<>();

        private final Map<String, Integer> failures = new HashMap<>();
        private final Map<String, Integer> deaths = new HashMap<>();
        private int joined;
        private int depth;
        private boolean settling;

        Life(long seed, boolean told) {
            this.random = new SplittableRandom(seed);
            this.group = new SimulatedGroup(random, told);
            group.hasEnded = (log, offset) -> hasEnded(idOf(log, offset));
            group.lettered = this::lettered;
            for (int i = 0; i < MEMBERS; i++) {
                members.add(joining());
            }
            for (int i = 0; i < 2; i++) {
                Log log = new Log(i, any());
                group.logs.put(log.id, log);
            }
        }

        private static String idOf(Log log, long offset) {
            return log.id.partition() + "-" + offset;
        }

        private Log logOf(String id) {
            return group.log(new TopicPartition(MockKafka.TOPIC, Integer.parseInt(id.substring(0, id.indexOf('-')))));
        }

        private static long offsetOf(String id) {
            return Long.parseLong(id.substring(id.indexOf('-') + 1));
        }

        private boolean hasEnded(String id) {
            return database.effects.contains(id) || dead.contains(id);
        }

        void live() {
            for (int i = 0; i < ACTS; i++) {
                act();
            }
            settle();
        }

        private Member joining() {
            Member member = group.new Member("m" + joined++, this::meanwhile, 3);
            Settings settings = new Settings(
                    member,
                    SETTINGS.group(),
                    SETTINGS.routes(),
                    SETTINGS.retry(),
                    SETTINGS.classify(),
                    SETTINGS.afterRetries(),
                    SETTINGS.listener(),
                    SETTINGS.concurrency(),
                    null,
                    SETTINGS.maxRecords(),
                    SETTINGS.maxBytes(),
                    Duration.ofNanos(1));
            member.runs(new PollLoop(settings, null, System::nanoTime));
            return member;
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
                case 0, 1, 2, 3 -> group.append(anyLog(), "k" + random.nextInt(3));
                case 4, 5, 6, 7, 8, 9, 10, 11, 12 -> round(any());
                case 13, 14 -> acknowledge(any());
                case 15, 16 -> group.now = group.now.plusMillis(random.nextInt(400));
                default -> fail();
            }
        }

        private void fail() {
            Member member = any();
            switch (random.nextInt(8)) {
                case 0, 1 -> anyLog().wanted = member;
                case 2 -> expel(member);
                case 3 -> die(member);
                case 4 -> close(member);
                case 5 -> member.commitFault = CommitFault.values()[random.nextInt(3)];
                case 6 -> database.endOldest();
                default -> member.pollFails = random.nextInt(3) == 0;
            }
        }

        private void round(Member member) {
            if (!member.inRound) {
                member.round();
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

        /** Wherever it is; what it has sent may still arrive. */
        private void die(Member member) {
            group.tell("%s dies, in its handlers are %s", member.name, member.running);
            member.running.forEach(id -> deaths.merge(id, 1, Integer::sum));
            member.pending.stream().filter(letter -> random.nextBoolean()).forEach(member::arrives);
            member.dies();
            database.isGone(member);
            replace(member);
        }

        private void close(Member member) {
            if (member.inRound || member.leaving) {
                return;
            }
            member.leaving = true;
            group.tell("%s closes", member.name);
            member.loop().close(Duration.ofNanos(1)); // real time, which nothing of this takes
            for (int i = random.nextInt(5);
                    i > 0 && !member.isDead() && !member.loop().isDrained();
                    i--) {
                member.round();
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

        /** What others do while one is at some place of its work. */
        private void meanwhile() {
            for (int i = settling ? 0 : random.nextInt(3); i > 0; i--) {
                act();
            }
        }

        private void nested() {
            depth++;
            while (depth < 4 && !settling && random.nextInt(3) == 0) {
                act();
            }
            depth--;
        }

        // ---- user code

        private void handle(Event<? extends Asset> event, TransactionalDelivery delivery) throws SQLException {
            Member member = Objects.requireNonNull(group.acting);
            member.mustLive();
            String id = event.id();
            group.tell("%s starts %s of %s, attempt %d", member.name, id, event.key(), delivery.attempt());
            member.running.add(id);
            try {
                nested();
                write(delivery, id);
                nested();
            } finally {
                member.running.remove(id);
            }
            member.mustLive();
            if (!settling && random.nextInt(3) == 0) {
                group.tell("%s fails %s", member.name, id);
                failures.merge(id, 1, Integer::sum);
                throw new IllegalStateException("no luck");
            }
        }

        private static void write(TransactionalDelivery delivery, String id) throws SQLException {
            try (PreparedStatement insert = delivery.connection().prepareStatement(SimulatedDatabase.EFFECT)) {
                insert.setString(1, id);
                insert.executeUpdate();
            }
        }

        // ---- what truly happens

        @Override
        public void beforeCommit(Transaction transaction) {
            nested();
        }

        @Override
        public void commits(List<String> effects) {
            for (String id : effects) {
                group.tell("%s has its effect", id);
                if (database.effects.contains(id)) {
                    group.violated("P5: a second effect of " + id);
                }
                if (dead.contains(id)) {
                    group.violated("P6: an effect of %s, which was dead-lettered".formatted(id));
                }
                judgeOrder(id);
            }
        }

        @Override
        public boolean answers(Transaction transaction) {
            nested();
            return settling || random.nextInt(20) > 0;
        }

        private void judgeOrder(String id) {
            Log log = logOf(id);
            long offset = offsetOf(id);
            String key = Objects.requireNonNull(log.keys.get(offset));
            log.keys.forEach((other, itsKey) -> {
                if (itsKey.equals(key) && other < offset && !hasEnded(idOf(log, other))) {
                    group.violated("P4: %s ends before %d".formatted(id, other));
                }
                if (itsKey.equals(key) && other > offset && hasEnded(idOf(log, other))) {
                    group.violated("P4: %s ends after %d".formatted(id, other));
                }
            });
        }

        private void lettered(Log log, long offset) {
            String id = idOf(log, offset);
            group.tell("%s has its letter", id);
            if (database.effects.contains(id)) {
                group.violated("P6: a letter of %s, which had its effect".formatted(id));
            }
            if (!database.marks.containsKey(id)) {
                group.violated("F3: a letter of %s before anybody has decided that".formatted(id));
            }
            if (failures.getOrDefault(id, 0) < 2 && deaths.getOrDefault(id, 0) < 6) {
                group.violated("a letter of %s, which has failed %d times".formatted(id, failures.getOrDefault(id, 0)));
            }
            if (dead.add(id)) {
                judgeOrder(id);
            }
        }

        // ---- the end

        /** Without faults all comes back by itself, and every event has ended and is committed. */
        private void settle() {
            settling = true;
            for (int i = 0; i < 400 && !isDone(); i++) {
                for (int m = 0; m < members.size(); m++) {
                    Member member = members.get(m);
                    member.commitFault = null;
                    member.pollFails = false;
                    member.round();
                    for (int n = 0; n < 5; n++) {
                        acknowledge(member);
                    }
                }
                group.now = group.now.plusMillis(150);
            }
            for (Log log : group.logs.values()) {
                for (long offset : log.keys.keySet()) {
                    String id = idOf(log, offset);
                    SimulatedDatabase.Mark mark = database.marks.get(id);
                    String wanted = database.effects.contains(id) ? "DONE" : dead.contains(id) ? "DEAD" : "ended";
                    if (mark == null || !mark.outcome().equals(wanted)) {
                        group.violated("P6: %s is to be %s, its mark says %s".formatted(id, wanted, mark));
                    }
                }
                if (!log.isDone()) {
                    group.violated("P9: %s is stuck at %d of %d".formatted(log.id, log.committed, log.end));
                }
            }
        }

        private boolean isDone() {
            return group.logs.values().stream().allMatch(Log::isDone);
        }
    }
}
