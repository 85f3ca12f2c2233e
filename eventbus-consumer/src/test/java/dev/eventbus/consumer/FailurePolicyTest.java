package dev.eventbus.consumer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.DecodeException;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.FailurePolicy.Disposition;
import dev.eventbus.consumer.FailurePolicy.Failure;
import dev.eventbus.consumer.FailurePolicy.OutageWatch;
import dev.eventbus.consumer.internal.Backoff;
import io.github.resilience4j.core.IntervalFunction;
import io.github.resilience4j.retry.RetryConfig;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.sql.BatchUpdateException;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import java.util.function.Predicate;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.errors.NotLeaderOrFollowerException;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class FailurePolicyTest {

    private static final Instant NOW = Instant.parse("2030-01-01T00:00:00Z");
    private static final SQLException OUTAGE = new SQLException("connection is gone", "08006");
    private static final Exception BUSINESS = new IllegalStateException("no such account");

    private final OutageWatch watch = new OutageWatch();
    private int offsets;

    @Test
    void a_business_failure_uses_attempts_and_is_set_aside_after_the_last() {
        FailurePolicy policy = policy(retry().build(), AfterRetries.deadLetter("dlq"));
        InFlight record = record();
        assertThat(decide(policy, record, BUSINESS, NOW)).isEqualTo(retryAfter(100));
        assertThat(decide(policy, record, BUSINESS, NOW)).isEqualTo(retryAfter(200));
        assertThat(decide(policy, record, BUSINESS, NOW)).isEqualTo(retryAfter(400));
        assertThat(decide(policy, record, BUSINESS, NOW))
                .isEqualTo(new Disposition.SetAside(FailureReason.ATTEMPTS_EXHAUSTED));
        assertThat(record.attempts()).isEqualTo(4);
    }

    @Test
    void the_partition_stops_after_the_last_attempt_if_the_user_wants_that() {
        FailurePolicy policy = policy(retry().maxAttempts(1).build(), AfterRetries.stopPartition("dlq"));
        assertThat(decide(policy, record(), BUSINESS, NOW))
                .isEqualTo(new Disposition.StopPartition(FailureReason.ATTEMPTS_EXHAUSTED));
    }

    @Test
    void records_that_are_no_event_go_aside_at_once_under_every_policy() {
        FailurePolicy policy = policy(retry().build(), AfterRetries.stopPartition("dlq"));
        DecodeException broken = new DecodeException(FailureReason.MALFORMED_JSON, "broken", null, null);
        assertThat(policy.decide(new Failure.Undecodable(broken), record(), NOW))
                .isEqualTo(new Disposition.SetAside(FailureReason.MALFORMED_JSON));
        assertThat(policy.decide(new Failure.IdConflict(), record(), NOW))
                .isEqualTo(new Disposition.SetAside(FailureReason.ID_CONFLICT));
    }

    @Test
    void what_the_policy_ignores_is_not_tried_again_however_deep_it_is_wrapped() {
        FailurePolicy policy =
                policy(retry().ignoreExceptions(FileNotFoundException.class).build(), AfterRetries.deadLetter("dlq"));
        Disposition aside = new Disposition.SetAside(FailureReason.NOT_RETRYABLE);
        assertThat(decide(policy, record(), new FileNotFoundException(), NOW)).isEqualTo(aside);
        assertThat(decide(policy, record(), wrapped(wrapped(new FileNotFoundException())), NOW))
                .isEqualTo(aside);
        assertThat(decide(policy, record(), new IOException(), NOW)).isEqualTo(retryAfter(100));
    }

    @Test
    void what_the_policy_names_is_tried_again_however_deep_it_is_wrapped_and_nothing_else() {
        FailurePolicy policy =
                policy(retry().retryExceptions(IOException.class).build(), AfterRetries.deadLetter("dlq"));
        assertThat(decide(policy, record(), new UncheckedIOException(new IOException()), NOW))
                .isEqualTo(retryAfter(100));
        assertThat(decide(policy, record(), BUSINESS, NOW))
                .isEqualTo(new Disposition.SetAside(FailureReason.NOT_RETRYABLE));
    }

    @Test
    void a_chain_of_causes_that_bites_its_tail_ends() {
        Exception head = new IllegalStateException();
        Exception tail = new IllegalStateException(head);
        head.initCause(tail);
        assertThat(decide(policy(retry().build(), AfterRetries.deadLetter("dlq")), record(), head, NOW))
                .isEqualTo(retryAfter(100));
    }

    @Test
    void the_users_word_comes_before_the_table() {
        Function<Throwable, FailureKind> redis =
                e -> String.valueOf(e.getMessage()).contains("redis") ? FailureKind.OUTAGE : FailureKind.FINAL;
        FailurePolicy policy = new FailurePolicy(retry().build(), redis, AfterRetries.deadLetter("dlq"));
        assertThat(decide(policy, record(), new IllegalStateException("redis is down"), NOW))
                .isInstanceOf(Disposition.WaitFor.class);
        assertThat(decide(policy, record(), new SQLException("deadlock", "40P01"), NOW))
                .isEqualTo(new Disposition.SetAside(FailureReason.NOT_RETRYABLE));
    }

    /** The policy is asked about a throwable that has no message, to learn what kind of list it is. */
    @Test
    void a_predicate_that_looks_into_messages_is_asked_about_the_users_failures_only() {
        Predicate<Throwable> locked =
                e -> Objects.requireNonNull(e.getMessage()).contains("locked");
        FailurePolicy policy = policy(retry().retryOnException(locked).build(), AfterRetries.deadLetter("dlq"));
        assertThat(decide(policy, record(), new IllegalStateException("account is locked"), NOW))
                .isEqualTo(retryAfter(100));
        assertThat(decide(policy, record(), new RuntimeException(null, new IllegalStateException("is locked")), NOW))
                .isEqualTo(retryAfter(100));
        assertThat(decide(policy, record(), BUSINESS, NOW))
                .isEqualTo(new Disposition.SetAside(FailureReason.NOT_RETRYABLE));
    }

    @Test
    void a_classifier_that_fails_or_has_no_opinion_leaves_it_to_the_table() {
        FailurePolicy failing = new FailurePolicy(
                retry().build(),
                e -> {
                    throw new ClassCastException();
                },
                AfterRetries.deadLetter("dlq"));
        assertThat(decide(failing, record(), OUTAGE, NOW)).isInstanceOf(Disposition.WaitFor.class);
        FailurePolicy silent = new FailurePolicy(retry().build(), e -> null, AfterRetries.deadLetter("dlq"));
        assertThat(decide(silent, record(), OUTAGE, NOW)).isInstanceOf(Disposition.WaitFor.class);
        assertThat(decide(silent, record(), BUSINESS, NOW)).isEqualTo(retryAfter(100));
    }

    @Test
    void infrastructure_is_seen_through_wrappers_batches_and_kafka() {
        BatchUpdateException batch = new BatchUpdateException("batch failed", new int[0]);
        batch.setNextException(OUTAGE);
        assertThat(FailurePolicy.isInfrastructure(wrapped(OUTAGE))).isTrue();
        assertThat(FailurePolicy.isInfrastructure(wrapped(batch))).isTrue();
        BatchUpdateException longer = new BatchUpdateException("batch failed", new int[0]);
        longer.setNextException(new SQLException("statement 1", "00000"));
        longer.setNextException(OUTAGE); // JDBC appends
        assertThat(FailurePolicy.isInfrastructure(longer)).isTrue();
        assertThat(FailurePolicy.isInfrastructure(wrapped(new NotLeaderOrFollowerException(""))))
                .isTrue();
        assertThat(FailurePolicy.isInfrastructure(BUSINESS)).isFalse();
    }

    @Test
    void an_outage_is_waited_out_without_attempts_while_nobody_else_succeeds() {
        FailurePolicy policy = policy(retry().build(), AfterRetries.deadLetter("dlq"));
        InFlight record = record();
        Instant now = NOW;
        for (int i = 0; i < 1_000; i++) {
            Disposition decided = decide(policy, record, OUTAGE, now);
            assertThat(decided).isInstanceOf(Disposition.WaitFor.class);
            now = now.plus(((Disposition.WaitFor) decided).delay());
        }
        assertThat(record.attempts()).isZero();
        assertThat(Duration.between(NOW, now)).as("two hours and more").isGreaterThan(Duration.ofHours(2));
    }

    @Test
    void an_outage_that_others_meet_too_is_believed_even_if_some_succeed() {
        FailurePolicy policy = policy(retry().build(), AfterRetries.deadLetter("dlq"));
        InFlight one = record();
        InFlight other = record();
        for (Instant now = NOW; now.isBefore(NOW.plusSeconds(1_200)); now = now.plusSeconds(10)) {
            assertThat(decide(policy, one, OUTAGE, now)).isInstanceOf(Disposition.WaitFor.class);
            watch.succeeded(now.plusSeconds(1));
            assertThat(decide(policy, other, OUTAGE, now.plusSeconds(2))).isInstanceOf(Disposition.WaitFor.class);
        }
        assertThat(one.attempts() + other.attempts()).isZero();
    }

    @Test
    void an_event_that_alone_meets_an_outage_for_five_minutes_starts_to_use_attempts() {
        FailurePolicy policy = policy(retry().build(), AfterRetries.deadLetter("dlq"));
        InFlight alone = record();
        Instant now = NOW;
        while (now.isBefore(NOW.plus(FailurePolicy.ALONE_AT_MOST))) {
            assertThat(decide(policy, alone, OUTAGE, now)).as("at %s", now).isInstanceOf(Disposition.WaitFor.class);
            watch.succeeded(now.plusSeconds(1));
            now = now.plusSeconds(10);
        }
        assertThat(decide(policy, alone, OUTAGE, now)).isEqualTo(retryAfter(100));
        watch.succeeded(now);
        assertThat(decide(policy, alone, OUTAGE, now.plusSeconds(1))).isEqualTo(retryAfter(200));
        assertThat(decide(policy, alone, OUTAGE, now.plusSeconds(2))).isEqualTo(retryAfter(400));
        assertThat(decide(policy, alone, OUTAGE, now.plusSeconds(3)))
                .isEqualTo(new Disposition.SetAside(FailureReason.ATTEMPTS_EXHAUSTED));
    }

    @Test
    void two_events_that_alone_meet_an_outage_do_not_vouch_for_each_other_while_many_succeed() {
        FailurePolicy policy = policy(retry().build(), AfterRetries.deadLetter("dlq"));
        List<InFlight> poison = List.of(record(), record());
        List<InFlight> dead = new ArrayList<>();
        for (Instant now = NOW; now.isBefore(NOW.plusSeconds(360)); now = now.plusSeconds(10)) {
            for (InFlight record : poison) {
                if (!dead.contains(record) && decide(policy, record, OUTAGE, now) instanceof Disposition.SetAside) {
                    assertThat(now).isAfter(NOW.plus(FailurePolicy.ALONE_AT_MOST));
                    assertThat(record.attempts()).isEqualTo(4);
                    dead.add(record);
                }
            }
            for (int i = 0; i < 100; i++) {
                watch.succeeded(now.plusSeconds(1));
            }
        }
        assertThat(dead).containsExactlyElementsOf(poison);
    }

    @Test
    void a_handler_that_was_interrupted_has_not_failed() {
        FailurePolicy policy = policy(retry().maxAttempts(1).build(), AfterRetries.deadLetter("dlq"));
        InFlight record = record();
        assertThat(decide(policy, record, new InterruptedException(), NOW)).isInstanceOf(Disposition.WaitFor.class);
        assertThat(decide(policy, record, wrapped(new InterruptedException()), NOW))
                .isInstanceOf(Disposition.WaitFor.class);
        assertThat(record.attempts()).isZero();
    }

    @Test
    void a_mark_held_elsewhere_and_a_letter_that_cannot_be_sent_use_no_attempt() {
        FailurePolicy policy = policy(retry().build(), AfterRetries.deadLetter("dlq"));
        InFlight record = record();
        assertThat(policy.decide(new Failure.HeldElsewhere(false), record, NOW))
                .isEqualTo(new Disposition.WaitFor(Backoff.HELD_ELSEWHERE));
        for (int i = 0; i < 100; i++) {
            assertThat(policy.decide(new Failure.HeldElsewhere(false), record, NOW))
                    .isInstanceOf(Disposition.WaitFor.class);
            assertThat(policy.decide(new Failure.DeadLetteringFailed(BUSINESS), record, NOW))
                    .isInstanceOf(Disposition.WaitFor.class);
        }
        assertThat(record.attempts()).isZero();
    }

    @Test
    void a_dead_letter_handler_is_tried_again_for_ever() {
        FailurePolicy policy = policy(retry().build(), null);
        InFlight record = record();
        for (int i = 0; i < 100; i++) {
            assertThat(policy.decide(new Failure.LetterHandlerFailed(BUSINESS), record, NOW))
                    .isInstanceOf(Disposition.RetryAfter.class);
        }
    }

    private Disposition decide(FailurePolicy policy, InFlight record, Throwable cause, Instant now) {
        return policy.decide(new Failure.HandlerFailed(cause, watch), record, now);
    }

    private static Disposition retryAfter(long millis) {
        return new Disposition.RetryAfter(Duration.ofMillis(millis));
    }

    private static FailurePolicy policy(RetryConfig retry, @Nullable AfterRetries afterRetries) {
        return new FailurePolicy(retry, e -> FailureKind.RETRY, afterRetries);
    }

    private static RetryConfig.Builder<Object> retry() {
        return RetryConfig.custom()
                .maxAttempts(4)
                .intervalFunction(IntervalFunction.ofExponentialBackoff(Duration.ofMillis(100), 2.0));
    }

    private static Exception wrapped(Throwable cause) {
        return new IllegalStateException("wrapped by a framework", cause);
    }

    private InFlight record() {
        return new InFlight(new ConsumerRecord<>("t", 0, offsets++, new byte[0], new byte[0]), 0);
    }
}
