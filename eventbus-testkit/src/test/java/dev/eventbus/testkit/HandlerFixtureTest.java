package dev.eventbus.testkit;

import static dev.eventbus.testkit.Calculator.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.testkit.Calculator.AssetUpdated;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** One handler alone. Each expectation is met where it should be, and is seen to fail where it should not. */
class HandlerFixtureTest {

    record Booked(String userId, Integer amount) {}

    private static final EventType<Booked> BOOKED =
            EventType.of("BOOKED", Booked.class).topic("booked").key(Booked::userId);

    private static final String ENTRIES = "SELECT entry FROM ledger ORDER BY line";

    private Ledger ledger;
    private final List<String> effects = new ArrayList<>();

    @BeforeEach
    void open() throws SQLException {
        ledger = Ledger.create();
    }

    @AfterEach
    void close() {
        ledger.close();
    }

    @Test
    void what_a_handler_writes_in_its_transaction_is_there_beside_what_was_given() throws SQLException {
        try (HandlerFixture<AssetUpdated> fixture = booking()) {
            fixture.given("INSERT INTO ledger (entry) VALUES ('opening')")
                    .when(new AssetUpdated("bob", 1), new AssetUpdated("bob", 2))
                    .expectHandled()
                    .expectRows(ENTRIES, "opening", "bob/1", "bob/2")
                    .expectRows("SELECT line, entry, NULL FROM ledger WHERE entry = 'bob/2'", "3 | bob/2 | null");
            assertThatThrownBy(() -> fixture.expectRows(ENTRIES, "opening"))
                    .isInstanceOf(AssertionError.class)
                    .hasMessageContaining("rows of " + ENTRIES)
                    .hasMessageContaining("bob/2");
        }
    }

    @Test
    void two_fixtures_on_one_database_do_not_take_their_events_for_each_others() throws SQLException {
        try (HandlerFixture<AssetUpdated> one = booking();
                HandlerFixture<AssetUpdated> other = booking()) {
            one.when(new AssetUpdated("bob", 1)).expectHandled();
            other.when(new AssetUpdated("bob", 1)).expectHandled().expectRows(ENTRIES, "bob/1", "bob/1");
        }
    }

    @Test
    void what_has_failed_and_is_mended_is_handled_when_it_comes_again() {
        List<Boolean> mended = new ArrayList<>();
        try (HandlerFixture<AssetUpdated> fixture = HandlerFixture.on(ASSET_UPDATED, (event, delivery) -> {
            if (mended.isEmpty()) {
                throw new IllegalStateException("no luck");
            }
        })) {
            fixture.when(new AssetUpdated("bob", 1)).expectFailed(IllegalStateException.class);
            mended.add(true);
            fixture.again().expectHandled();
            assertThatThrownBy(() -> fixture.expectFailed(IllegalStateException.class))
                    .hasMessageContaining("did not fail for good");
            mended.clear();
            fixture.again().expectFailed(IllegalStateException.class);
        }
    }

    @Test
    void events_that_come_again_have_one_effect_in_a_transaction_and_another_one_without() throws SQLException {
        try (HandlerFixture<AssetUpdated> once = booking();
                HandlerFixture<AssetUpdated> atLeastOnce =
                        HandlerFixture.on(ASSET_UPDATED, (event, delivery) -> effects.add(event.key()))) {
            once.when(new AssetUpdated("bob", 1)).again().expectHandled().expectRows(ENTRIES, "bob/1");
            atLeastOnce.when(new AssetUpdated("bob", 1)).again().expectHandled();
            assertThat(effects).containsExactly("bob", "bob");
        }
    }

    @Test
    void a_handler_that_commits_in_hiding_is_told_at_once() throws SQLException {
        try (HandlerFixture<AssetUpdated> fixture =
                HandlerFixture.inTransaction(ledger.database(), ASSET_UPDATED, (event, tx) -> {
                    try (Statement statement = tx.connection().createStatement()) {
                        statement.execute("EXECUTE IMMEDIATE 'COMMIT'");
                    }
                })) {
            assertThatThrownBy(() -> fixture.when(new AssetUpdated("bob", 1)))
                    .isInstanceOf(AssertionError.class)
                    .hasMessageContaining("a partition was stopped: ");
        }
    }

    @Test
    void what_a_handler_has_thrown_is_known_by_its_cause_too() throws SQLException {
        try (HandlerFixture<AssetUpdated> fixture = HandlerFixture.on(ASSET_UPDATED, (event, delivery) -> {
            throw new IllegalStateException(new UnsupportedOperationException());
        })) {
            fixture.when(new AssetUpdated("bob", 1)).expectFailed(UnsupportedOperationException.class);
            assertThatThrownBy(() -> fixture.expectFailed(IllegalArgumentException.class))
                    .isInstanceOf(AssertionError.class);
        }
    }

    @Test
    void a_handler_that_fails_for_good_leaves_nothing_and_its_key_waits() throws SQLException {
        try (HandlerFixture<AssetUpdated> fixture = booking()) {
            fixture.when(new AssetUpdated("bob", -1))
                    .expectFailed(IllegalArgumentException.class)
                    .expectFailed(RuntimeException.class)
                    .expectRows(ENTRIES);
            assertThatThrownBy(() -> fixture.expectFailed(IllegalStateException.class))
                    .isInstanceOf(AssertionError.class)
                    .hasMessageContaining("did not fail by a java.lang.IllegalStateException")
                    .hasCauseInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(fixture::expectHandled)
                    .isInstanceOf(AssertionError.class)
                    .hasMessageContaining("was not handled; the handler has thrown java.lang.IllegalArgumentException");

            fixture.when(new AssetUpdated("alice", 1)).expectHandled().expectRows(ENTRIES, "alice/1");
            fixture.when(new AssetUpdated("bob", 2));
            assertThatThrownBy(fixture::expectHandled)
                    .as("its key is parked")
                    .isInstanceOf(AssertionError.class)
                    .hasMessageContaining("was not handled; the handler has thrown nothing");
        }
    }

    @Test
    void a_handler_that_fails_twice_is_tried_again_as_in_production() {
        List<Integer> attempts = new ArrayList<>();
        try (HandlerFixture<AssetUpdated> fixture = HandlerFixture.on(ASSET_UPDATED, (event, delivery) -> {
            attempts.add(delivery.attempt());
            if (delivery.attempt() < 3) {
                throw new IllegalStateException("busy");
            }
        })) {
            fixture.when(new AssetUpdated("bob", 1)).expectHandled();
            assertThat(attempts).containsExactly(1, 2, 3);
            assertThatThrownBy(() -> fixture.expectFailed(IllegalStateException.class))
                    .isInstanceOf(AssertionError.class)
                    .hasMessageContaining("did not fail for good");
        }
    }

    @Test
    void what_a_handler_publishes_is_told_once_it_is_committed_and_only_then() throws SQLException {
        JdbcOutbox outbox = JdbcOutbox.h2();
        try (HandlerFixture<AssetUpdated> fixture =
                HandlerFixture.inTransaction(ledger.database(), ASSET_UPDATED, (event, tx) -> {
                    outbox.within(tx.connection())
                            .publish(
                                    BOOKED,
                                    new Booked(event.key(), event.payload().amount()));
                    if (event.key().equals("mallory")) {
                        throw new IllegalStateException("after it has published");
                    }
                })) {
            fixture.publishingTo(outbox)
                    .when(new AssetUpdated("bob", 7), new AssetUpdated("mallory", 8))
                    .expectPublished(BOOKED, new Booked("bob", 7))
                    .expectPublished(ASSET_UPDATED);
            assertThatThrownBy(() -> fixture.expectPublished(BOOKED))
                    .isInstanceOf(AssertionError.class)
                    .hasMessageContaining("events of type BOOKED")
                    .hasMessageContaining("Booked[userId=bob, amount=7]");
        }
    }

    @Test
    void a_whole_event_comes_with_its_id_its_time_and_its_headers() {
        List<Event<?>> seen = new ArrayList<>();
        Event<AssetUpdated> event = Event.of(
                        ASSET_UPDATED, "evt-7", Instant.parse("2025-01-15T10:35:00Z"), new AssetUpdated("bob", 1))
                .withHeader("tenant", "eu");
        try (HandlerFixture<AssetUpdated> fixture =
                HandlerFixture.on(ASSET_UPDATED, (came, delivery) -> seen.add(came))) {
            fixture.when(event).expectHandled();
        }
        assertThat(seen).singleElement().satisfies(came -> {
            assertThat(came.id()).isEqualTo("evt-7");
            assertThat(came.timestamp()).isEqualTo(event.timestamp());
            assertThat(came.headers()).containsEntry("tenant", "eu");
        });
    }

    @Test
    void an_event_is_parked_once_it_or_an_earlier_one_of_its_key_has_failed_for_good() throws SQLException {
        try (HandlerFixture<AssetUpdated> fixture = booking()) {
            fixture.when(new AssetUpdated("bob", 1));
            assertThatThrownBy(fixture::expectParked)
                    .isInstanceOf(AssertionError.class)
                    .hasMessageContaining("is not parked");
            fixture.when(new AssetUpdated("bob", -1))
                    .expectParked()
                    .when(new AssetUpdated("bob", 2))
                    .expectParked();
            fixture.when(new AssetUpdated("alice", 1));
            assertThatThrownBy(fixture::expectParked)
                    .isInstanceOf(AssertionError.class)
                    .hasMessageContaining("the handler has thrown nothing");
        }
    }

    @Test
    void what_cannot_be_asked_is_refused_in_words() {
        try (HandlerFixture<AssetUpdated> fixture = HandlerFixture.on(ASSET_UPDATED, (event, delivery) -> {})) {
            assertThatThrownBy(fixture::expectHandled)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("say when(...) first");
            fixture.when(new AssetUpdated("bob", 1));
            assertThatThrownBy(fixture::expectParked)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("inTransaction(...)");
            assertThatThrownBy(() -> fixture.given("SELECT 1"))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("inTransaction(...)");
            assertThatCode(() -> fixture.when(new AssetUpdated("bob", 1)).expectHandled())
                    .doesNotThrowAnyException();
        }
    }

    private HandlerFixture<AssetUpdated> booking() throws SQLException {
        return HandlerFixture.inTransaction(ledger.database(), ASSET_UPDATED, (event, tx) -> {
            ledger.book(tx.connection(), event.key() + "/" + event.payload().amount());
            if (event.payload().amount() < 0) {
                throw new IllegalArgumentException("a debt cannot be booked");
            }
        });
    }
}
