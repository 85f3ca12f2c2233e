package dev.eventbus.consumer.internal;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.consumer.inbox.AttemptStore;
import dev.eventbus.consumer.inbox.AttemptStore.AloneTurn;
import dev.eventbus.consumer.inbox.AttemptStore.Attempts;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.internal.Fatal;
import dev.eventbus.topics.KafkaCluster;
import java.sql.SQLException;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.config.ConfigDef;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Finds the event that ends the process, and keeps how often events have failed across a crash.
 *
 * <ol>
 *   <li>If the owner before has not noted in its last commit that nothing ran any more, some of the records that come first were
 *       running when it ended: they are watched. The start of a watched record's handler is noted in the inbox's database, and
 *       taken off when the handler returns.
 *   <li>A watched record that has such a start already was running when a process ended that watched it: a suspect, of which
 *       there are as many as handlers ran then. A suspect runs alone, each time with one more start; with none more beside a suspect that
 *       has taken longer than a minute and still runs.
 *   <li>A suspect that was started alone five times and never came back is what ends the process. Its handler runs no more.
 * </ol>
 *
 * <p>So an innocent event that runs beside such a one is not convicted: alone it comes back. Only one that takes longer than a minute each
 * time is counted for what ends the process beside it. Without a crash nothing is noted
 * but failures. Runs on the thread that runs the record's lane.
 *
 * <p>A codec, too, can end the process, before anybody knows which event it was. So the reading of a watched record is noted in the
 * same way, by its place and by itself: it is over before its handler starts. What is noted of one that is convicted for that stays, so that
 * it is not read once more if the process ends before its offset is committed.
 */
public final class CrashWatch {

    /** How often an event is started without coming back: once under watch, then five times alone. */
    public static final int MAX_STARTS = 6;

    /** How many records may have been open when a process died: the open span of a partition, and one poll. */
    public static int window(KafkaCluster kafka) {
        String onePoll = kafka.setting(
                ConsumerConfig.MAX_POLL_RECORDS_CONFIG, Integer.toString(ConsumerConfig.DEFAULT_MAX_POLL_RECORDS));
        long all = (long) FlowControl.MAX_SPAN
                + (Integer) ConfigDef.parseType(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, onePoll, ConfigDef.Type.INT);
        return (int) Math.min(Integer.MAX_VALUE, all);
    }

    /** What is to be done before a handler runs. */
    public enum Verdict {
        /** It may run. */
        RUN,
        /** It must run with nothing beside it. */
        RUN_ALONE,
        /** It has ended the process too often. */
        CONVICTED
    }

    /** A handler of a parked event, which has no lane. */
    public interface Started<T> {
        T run() throws SQLException;
    }

    private enum Suspected {
        NO,
        /** It may have been running when the process of its owner before ended. */
        WATCHED,
        /** It was running then, and once more under watch. */
        YES
    }

    /** What is known of one record; guarded as the record's progress is. */
    public static final class Suspicion {

        private Suspected suspected = Suspected.NO;
        private boolean alone;

        /** Whether what was alone before it, for more than a minute, still ran when it began. */
        private boolean beside;

        private boolean startNoted;
        private int failuresNoted;

        /** The same of its being read; null unless that is noted. */
        private @Nullable Suspicion reading;

        /** Whether nothing speaks against the record. */
        public boolean isNone() {
            return suspected == Suspected.NO;
        }

        /** The record may have been running when the process of its owner before ended. */
        public void watch() {
            suspected = Suspected.WATCHED;
        }

        /** What is noted of the event is not this record's, which is a repeat. */
        public void drop() {
            suspected = Suspected.NO;
            startNoted = false;
            failuresNoted = 0;
        }

        /** @param turn in which the next step of the record runs with nothing beside it; null if that has others beside it */
        public void runsAlone(AloneTurn.@Nullable Taken turn) {
            alone = turn != null;
            beside = turn != null && turn.isBeside();
        }

        /** Whether its being read is noted. */
        public boolean isReading() {
            return reading != null;
        }

        /** What is known of the record's being read, which runs alone as the record does. */
        public Suspicion reading() {
            Suspicion its = reading == null ? new Suspicion() : reading;
            if (its.isNone()) {
                its.watch();
            }
            its.alone = alone;
            its.beside = beside;
            reading = its;
            return its;
        }

        /** So many attempts are noted already. */
        public void failedBefore(int failures) {
            failuresNoted = Math.max(failuresNoted, failures);
        }

        /** Attempts that a crash does not forget. */
        public int failuresNoted() {
            return failuresNoted;
        }
    }

    private static final Logger LOG = LoggerFactory.getLogger(CrashWatch.class);

    private final AttemptStore attempts;

    public CrashWatch(AttemptStore attempts) {
        this.attempts = attempts;
    }

    /** What the reading of a record is noted by: no event's id, of whatever length the topic's name is, and no other record's of a topic made again. */
    public static Mark readingOf(String group, ConsumerRecord<?, ?> record) {
        String topic = UUID.nameUUIDFromBytes(record.topic().getBytes(UTF_8)).toString();
        String id = "reading %s/%d/%d/%d".formatted(topic, record.partition(), record.offset(), record.timestamp());
        return new Mark(group, id, new byte[0], record.topic(), record.partition(), record.offset());
    }

    /**
     * Reads a record after {@link #begin} has let it. Once that is back, whatever came of it, its note is taken off; where that fails, it is
     * to be read again.
     */
    public void read(Suspicion of, Mark reading, Runnable read) throws SQLException {
        RuntimeException unreadable = null;
        try {
            read.run();
        } catch (RuntimeException e) {
            unreadable = e;
        }
        attempts.ended(reading);
        of.reading = null;
        if (unreadable != null) {
            throw unreadable;
        }
    }

    /** Before a handler runs, or a record is read: notes its start if need be, and says whether it may. */
    public Verdict begin(Suspicion of, Mark mark) throws SQLException {
        return switch (of.suspected) {
            case NO -> Verdict.RUN;
            case WATCHED -> beginWatched(of, mark);
            case YES -> beginSuspect(of, mark);
        };
    }

    private Verdict beginWatched(Suspicion of, Mark mark) throws SQLException {
        if (of.startNoted) { // it has come back, which could not be noted
            return Verdict.RUN;
        }
        Attempts before = attempts.started(mark);
        of.failuresNoted = Math.max(of.failuresNoted, before.failures());
        if (before.starts() > 0) {
            of.suspected = Suspected.YES;
            return beginSuspect(of, mark);
        }
        of.startNoted = true;
        return Verdict.RUN;
    }

    private Verdict beginSuspect(Suspicion of, Mark mark) throws SQLException {
        if (!of.alone) {
            return Verdict.RUN_ALONE;
        }
        if (of.startNoted) {
            return Verdict.RUN;
        }
        if (of.beside) {
            return attempts.of(mark).starts() >= MAX_STARTS ? Verdict.CONVICTED : Verdict.RUN;
        }
        int before = attempts.startedAlone(mark, MAX_STARTS).starts();
        if (before >= MAX_STARTS) {
            return Verdict.CONVICTED;
        }
        of.startNoted = true;
        LOG.warn(
                "{} was running, or being read, when the process ended; it runs alone now, and has {} such starts left if that happens again",
                mark,
                MAX_STARTS - before - 1);
        return Verdict.RUN;
    }

    /**
     * Runs the handler of a parked event, each of which is watched; a suspect alone, as far as other suspects go.
     *
     * @param free whether nobody runs it now; the start of one that runs is no sign of a crash
     * @return what it came to; null if it must wait until nothing else runs alone, or it runs elsewhere
     */
    public <T> @Nullable T run(Suspicion of, Mark mark, Started<Boolean> free, Started<T> handler, Started<T> convicted)
            throws SQLException {
        if (of.isNone()) {
            of.watch();
        }
        Verdict verdict = begin(of, mark);
        if (verdict != Verdict.RUN_ALONE) {
            return verdict == Verdict.RUN ? handler.run() : convicted.run();
        }
        if (!free.run()) {
            of.drop();
            return null;
        }
        AloneTurn.Taken turn = attempts.alone().tryTake();
        if (turn == null) {
            return null;
        }
        of.runsAlone(turn);
        try {
            return begin(of, mark) == Verdict.RUN ? handler.run() : convicted.run();
        } finally {
            of.runsAlone(null);
            attempts.alone().giveBack(turn);
        }
    }

    /** Whether an event runs alone, here or in a runner beside this one, and not yet so long that others may run beside it. */
    public boolean holdsOthers() {
        return attempts.alone().holdsOthers();
    }

    /** The event was convicted and is not given up: each later owner may start it alone once more. */
    public void giveOneMore(Mark mark, int used) throws SQLException {
        attempts.failed(mark, used);
    }

    /** The event was given up, so that it has as many starts again if somebody says that it is to be run once more. */
    public void forget(Mark mark) throws SQLException {
        attempts.ended(mark);
    }

    /**
     * After a step of a record: keeps what a crash from now on must not forget, and forgets what has ended.
     *
     * @param used attempts that the record has used by now
     */
    public void after(Suspicion of, Mark mark, boolean ended, int used) {
        try {
            if (ended && (!of.isNone() || of.failuresNoted > 0)) {
                attempts.ended(mark);
            } else if (!ended && of.startNoted) {
                attempts.failed(mark, used);
                of.startNoted = false;
                of.failuresNoted = used;
            } else if (!ended && used > of.failuresNoted) {
                attempts.failedUncounted(mark, used);
                of.failuresNoted = used;
            }
        } catch (Throwable e) {
            Fatal.rethrow(e);
            // its start stands, and is not noted once more: it runs alone after the next crash
            LOG.debug("what came of {} could not be noted", mark, e);
        }
    }
}
