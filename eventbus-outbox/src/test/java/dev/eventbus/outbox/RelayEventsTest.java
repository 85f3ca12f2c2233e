package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;
import org.slf4j.LoggerFactory;

@Isolated("reads all that is logged")
class RelayEventsTest {

    @Test
    void a_listener_that_always_fails_fills_no_log() {
        Logger logger = (Logger) LoggerFactory.getLogger(RelayEvents.class);
        ListAppender<ILoggingEvent> warnings = new ListAppender<>();
        warnings.start();
        logger.setLevel(ch.qos.logback.classic.Level.INFO);
        logger.addAppender(warnings);
        try {
            RelayEvents events = new RelayEvents(new RelayListener() {
                @Override
                public void relayed(int relayed) {
                    throw new IllegalStateException("on purpose");
                }
            });
            for (int i = 0; i < 1_000; i++) {
                events.relayed(1);
            }
            assertThat(warnings.list).hasSize(1);
        } finally {
            logger.detachAppender(warnings);
            logger.setLevel(null);
        }
    }

    @Test
    void a_listener_that_leaves_the_interrupt_flag_set_does_not_end_the_relay() {
        RelayEvents events = new RelayEvents(new RelayListener() {
            @Override
            public void relayed(int relayed) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("on purpose");
            }
        });
        events.relayed(1);
        assertThat(Thread.interrupted()).isFalse();
    }

    @Test
    void a_listener_that_does_not_fit_its_library_keeps_no_event_from_being_told_once_and_deleted() {
        TestDatabase database = new TestDatabase();
        FakeKafka kafka = new FakeKafka();
        AtomicInteger told = new AtomicInteger();
        RelayPass pass = new RelayPass(
                database.outbox,
                database.dataSource,
                kafka,
                new OutboxRelay.Settings(
                        "one",
                        Duration.ofSeconds(10),
                        SendMode.PIPELINED,
                        OutboxRelay.DEFAULT_MAX_RELAY_STOP,
                        new RelayListener() {
                            @Override
                            public void sent(Sent sent) {
                                told.incrementAndGet();
                                throw new NoClassDefFoundError("on purpose");
                            }
                        }),
                OutboxRelay.Signals.NONE);
        database.publish(event("evt-1", "bob"));
        for (int i = 0; i < 4; i++) {
            pass.look();
        }
        assertThat(kafka.ids()).containsExactly("evt-1");
        assertThat(database.ids()).isEmpty();
        assertThat(told).hasValue(1);
        pass.end(Duration.ofMillis(20));
    }
}
