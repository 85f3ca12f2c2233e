package dev.eventbus.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

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
}
