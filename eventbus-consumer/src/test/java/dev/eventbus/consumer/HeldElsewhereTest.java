package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.SteppedRunner.settle;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.InstanceOfAssertFactories.LONG;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.eventbus.consumer.inbox.JdbcInbox;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;
import org.slf4j.LoggerFactory;

/** What is told of a record whose mark, or whose parked key, another transaction holds. */
@Isolated("reads all that is logged")
class HeldElsewhereTest {

    private final JdbcDataSource database = new JdbcDataSource();
    private final MockKafka kafka = MockKafka.create();
    private final List<String> runs = new ArrayList<>();
    private JdbcInbox inbox = JdbcInbox.h2(database);

    @BeforeEach
    void tables() throws SQLException {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        inbox = JdbcInbox.h2(database);
        inbox.createTables();
    }

    private ConsumerRunner runner(int attempts, AfterRetries after) {
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .inTransaction(inbox, ASSET, (event, tx) -> {
                    runs.add(event.id());
                    throw new IllegalStateException("no luck");
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(attempts)
                        .intervalFunction(attempt -> 20_000L)
                        .build())
                .afterRetries(after)
                .build();
        kafka.assign(P0);
        runner.runOnce();
        return runner;
    }

    /** Another owner's transaction, which does not end until this is closed. */
    private Connection holding(String sql) throws SQLException {
        Connection other = database.getConnection();
        other.setAutoCommit(false);
        try (Statement statement = other.createStatement()) {
            statement.execute(sql);
        }
        return other;
    }

    private Connection holdingMark() throws SQLException {
        return holdingMarks("a1");
    }

    private Connection holdingMarks(String... ids) throws SQLException {
        return holding(Stream.of(ids)
                .map(
                        "(STRINGTOUTF8('g'), STRINGTOUTF8('%s'), 'DONE', X'00', STRINGTOUTF8('t'), 0, 0, CURRENT_TIMESTAMP)"
                                ::formatted)
                .collect(Collectors.joining(", ", "INSERT INTO eventbus_inbox VALUES ", "")));
    }

    private void passes(ConsumerRunner runner, Duration time) {
        kafka.setTo(kafka.clock().instant().plus(time));
        settle(runner);
    }

    @Test
    void a_mark_that_is_held_for_long_is_told_and_counts_anew_after_it_was_free() throws SQLException {
        ConsumerRunner runner = runner(4, AfterRetries.deadLetter(LETTERS));
        kafka.event(P0, "alice", "a1");
        try (Connection other = holdingMark()) {
            settle(runner);
            passes(runner, Duration.ofSeconds(20));
            assertThat(runner.health().problems()).isEmpty();
            passes(runner, Duration.ofSeconds(20));
            assertThat(runner.health().problems())
                    .anyMatch(it -> it.contains("is held by a transaction that does not end"));
            other.rollback();
        }
        passes(runner, Duration.ofSeconds(1));
        assertThat(runs).containsExactly("a1");
        try (Connection other = holdingMark()) {
            passes(runner, Duration.ofSeconds(21));
            assertThat(runner.health().problems()).isEmpty();
            other.rollback();
        }
    }

    /** As of an owner that was frozen in the middle of its batches. */
    @Test
    void however_many_marks_are_held_they_are_one_problem_and_one_line_a_second_that_names_one() throws SQLException {
        ConsumerRunner runner = runner(4, AfterRetries.deadLetter(LETTERS));
        Logger logger = (Logger) LoggerFactory.getLogger(FailureRouter.class);
        ListAppender<ILoggingEvent> log = new ListAppender<>();
        log.start();
        try (Connection other = holdingMarks("a1", "b1", "c1", "d1")) {
            for (String id : List.of("a1", "b1", "c1", "d1")) {
                kafka.event(P0, id.substring(0, 1), id);
            }
            settle(runner);
            logger.addAppender(log);
            passes(runner, Duration.ofSeconds(40));
            assertThat(runner.health().problems())
                    .containsExactly(
                            "the mark of an event is held by a transaction that does not end: 4 keys wait, without using attempts, until it ends");
            assertThat(log.list)
                    .singleElement()
                    .extracting(ILoggingEvent::getFormattedMessage)
                    .asString()
                    .contains("ASSET_UPDATED at asset.events/0@");
            other.rollback();
        } finally {
            logger.detachAppender(log);
        }
    }

    @Test
    void a_mark_that_stays_held_is_asked_for_less_and_less() throws SQLException {
        ConsumerRunner runner = runner(4, AfterRetries.deadLetter(LETTERS));
        kafka.event(P0, "alice", "a1");
        List<Long> quarters = new ArrayList<>();
        try (Connection other = holdingMark()) {
            settle(runner);
            for (int times = 0; times < 7; times++) {
                Instant due = Objects.requireNonNull(runner.health().nextRetry());
                Duration delay = Duration.between(kafka.clock().instant(), due);
                quarters.add(Math.round(delay.toMillis() / 250.0));
                passes(runner, delay);
            }
            other.rollback();
        }
        assertThat(quarters.get(0)).isEqualTo(1);
        assertThat(quarters).isSorted().last().asInstanceOf(LONG).isBetween(15L, 20L);
    }

    @Test
    void a_key_that_somebody_else_is_parking_is_not_told_as_a_mark() throws SQLException {
        ConsumerRunner runner = runner(1, AfterRetries.parkKey(inbox, LETTERS));
        try (Connection other = holding("""
                INSERT INTO eventbus_parked_key
                VALUES (STRINGTOUTF8('g'), STRINGTOUTF8('%s'), STRINGTOUTF8('alice'), 'PARKED', 'any', NULL, 0, CURRENT_TIMESTAMP)""".formatted(MockKafka.TOPIC))) {
            kafka.event(P0, "alice", "a1");
            settle(runner);
            passes(runner, Duration.ofSeconds(40));
            assertThat(runner.health().problems())
                    .noneMatch(it -> it.contains("mark"))
                    .anyMatch(it -> it.contains("a parked key that is in hand"));
            other.rollback();
        }
        passes(runner, Duration.ofSeconds(1));
        assertThat(inbox.parking().load("g").get(0).events()).isEqualTo(1);
    }

    @Test
    void a_parked_key_that_somebody_has_in_hand_is_not_told_as_a_mark() throws SQLException {
        ConsumerRunner runner = runner(1, AfterRetries.parkKey(inbox, LETTERS));
        kafka.event(P0, "alice", "a1");
        settle(runner);
        try (Connection other = holding("SELECT * FROM eventbus_parked_key FOR UPDATE")) {
            kafka.event(P0, "alice", "a2");
            settle(runner);
            passes(runner, Duration.ofSeconds(40));
            assertThat(runner.health().problems())
                    .noneMatch(it -> it.contains("mark"))
                    .anyMatch(it -> it.contains("follows a parked key that is in hand"));
            other.rollback();
        }
        passes(runner, Duration.ofSeconds(1));
        assertThat(runner.health().problems()).isEmpty();
        assertThat(inbox.parking().load("g").get(0).events()).isEqualTo(2);
    }
}
