package dev.eventbus.consumer.internal;

import dev.eventbus.ErrorCode;
import java.time.Duration;
import java.time.Instant;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The steps that are under way, so that one that does not end is seen: a handler or a codec that hangs, or a database that does not answer. Thread-safe.
 */
public final class AtWork {

    /** A step that takes longer is named in the log, once, and is a problem while it lasts. */
    static final Duration LONG = Duration.ofSeconds(60);

    private static final Logger LOG = LoggerFactory.getLogger(AtWork.class);

    /** One step; ended by {@link #close()}. Identity counts. */
    public final class Step implements AutoCloseable {

        private volatile Work work;

        private Step(Work work) {
            this.work = work;
        }

        /**
         * It is at something else from now on, which takes a time of its own.
         *
         * @param first the first of the records, or the only one
         */
        public void goesOnWith(ConsumerRecord<?, ?> first, int records) {
            work = new Work(first, records);
        }

        @Override
        public void close() {
            steps.remove(this);
        }
    }

    private static final class Work {

        private final ConsumerRecord<?, ?> first;
        private final int records;

        /** When it was seen first, so that workers need not ask for the time. Guarded by the thread that looks, as is the next. */
        private @Nullable Instant since;

        private boolean named;

        Work(ConsumerRecord<?, ?> first, int records) {
            this.first = first;
            this.records = records;
        }

        @Override
        public String toString() {
            String place = "%s-%d@%d".formatted(first.topic(), first.partition(), first.offset());
            return records == 1 ? place : "%s (the first of %d that are handled together)".formatted(place, records);
        }
    }

    private final Set<Step> steps = ConcurrentHashMap.newKeySet();

    /** A step of a record begins. */
    public Step begins(ConsumerRecord<?, ?> record) {
        Step step = new Step(new Work(record, 1));
        steps.add(step);
        return step;
    }

    /** Always the same thread, often: what takes long, in words; null if nothing does. */
    public @Nullable String look(Instant now) {
        int count = 0;
        Work oldest = null;
        Instant oldestSince = now;
        for (Step step : steps) {
            Work work = step.work;
            Instant since = work.since == null || work.since.isAfter(now) ? now : work.since; // clocks are set back too
            work.since = since;
            if (Duration.between(since, now).compareTo(LONG) > 0) {
                count += work.records;
                name(work);
                if (since.isBefore(oldestSince)) {
                    oldest = work;
                    oldestSince = since;
                }
            }
        }
        return oldest == null
                ? null
                : ("%s %d records have been at work for more than %d s, %s since %s: their handlers or codecs do not return, or the inbox's database does not"
                                + " answer. Their keys wait, and so does a hand-over of their partitions; nothing is lost. Take a thread dump, and"
                                + " give what it shows a time-out")
                        .formatted(ErrorCode.AT_WORK_FOR_LONG.id(), count, LONG.toSeconds(), oldest, oldestSince);
    }

    private static void name(Work work) {
        if (!work.named) {
            work.named = true;
            LOG.warn(
                    "{} {} has been at work for more than {} s, in its handler, its codec or the inbox's database; its key waits for it, and so does a hand-over of its partition",
                    ErrorCode.AT_WORK_FOR_LONG.id(),
                    work,
                    LONG.toSeconds());
        }
    }
}
