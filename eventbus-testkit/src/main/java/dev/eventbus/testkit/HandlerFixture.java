package dev.eventbus.testkit;

import static java.util.stream.Collectors.joining;

import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.EventHandler;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.TransactionalDelivery;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Stream;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;

/**
 * One handler alone: what is there, which events come, and what must be there then.
 *
 * <pre>{@code
 * try (var fixture = HandlerFixture.inTransaction(h2, BOOKED, bookings::book)) {
 *     fixture.given("INSERT INTO account (owner) VALUES ('bob')")
 *            .when(new Booked("bob", 7))
 *            .expectHandled()
 *            .expectRows("SELECT owner, balance FROM account", "bob | 7");
 * }
 * }</pre>
 *
 * <p>The handler runs in the engine of production, on a {@link FakeEventBus} of its own: through encoder and decoder, in the inbox's
 * transaction, with 4 attempts in virtual time. The runner that a service builds around it (its policies, its other handlers) is tested on a
 * {@link FakeEventBus}. Each method that expects something throws an {@link AssertionError} if it is not so. Used by one thread.
 *
 * @param <P> payload of the events that come
 */
public final class HandlerFixture<P> implements AutoCloseable {

    private static final String LETTERS = "handler-fixture.letters";

    /** Causes may run in a circle. */
    private static final int MOST_CAUSES = 100;

    private final FakeEventBus bus = FakeEventBus.create();

    /** Of its own: another fixture on the same database, whose events have the same ids, has handled none of these. */
    private final String group = "handler-fixture." + UUID.randomUUID();

    private final EventType<P> type;
    private final @Nullable DataSource database;

    /** What the handler threw last, by event id. */
    private final Map<String, Throwable> thrown = new LinkedHashMap<>();

    /** Events for which the handler returned, by id, and how many dead letters each had then. */
    private final Map<String, Long> handled = new HashMap<>();

    /** Why the runner has stopped a partition: then what the handler did may or may not stand. Empty if it has not. */
    private String stopped = "";

    private final Set<String> putIn = new HashSet<>();
    private List<Event<P>> last = List.of();

    private HandlerFixture(EventType<P> type, @Nullable DataSource database) {
        this.type = type;
        this.database = database;
    }

    /** A handler with any effect, at least once. */
    public static <P> HandlerFixture<P> on(EventType<P> type, EventHandler<? super P, ? super Delivery> handler) {
        HandlerFixture<P> fixture = new HandlerFixture<>(type, null);
        fixture.start(
                fixture.runner().on(type, fixture.watched(handler)).afterRetries(AfterRetries.deadLetter(LETTERS)));
        return fixture;
    }

    /**
     * A handler whose effects happen once, in transactions of an inbox. An event that fails for good parks its key.
     *
     * @param h2 a database of the test's own, where the inbox's tables are made if they are missing
     */
    public static <P> HandlerFixture<P> inTransaction(
            DataSource h2, EventType<P> type, EventHandler<? super P, ? super TransactionalDelivery> handler)
            throws SQLException {
        JdbcInbox.createTables(h2);
        JdbcInbox inbox = JdbcInbox.h2(h2);
        HandlerFixture<P> fixture = new HandlerFixture<>(type, h2);
        fixture.start(fixture.runner()
                .inTransaction(inbox, type, fixture.watched(handler))
                .afterRetries(AfterRetries.parkKey(inbox, LETTERS)));
        return fixture;
    }

    private ConsumerRunnerBuilder runner() {
        return ConsumerRunner.builder(bus.kafka(), group);
    }

    private void start(ConsumerRunnerBuilder runner) {
        bus.start(runner.listener(new RunnerListener() {
                    @Override
                    public void partitionStopped(String topic, int partition, String why) {
                        stopped = why;
                    }
                })
                .build());
    }

    @SuppressWarnings("unchecked") // it takes what it is given, and less special
    private <D extends Delivery> EventHandler<P, D> watched(EventHandler<? super P, ? super D> handler) {
        EventHandler<P, D> exact = (EventHandler<P, D>) handler;
        return (event, delivery) -> {
            try {
                exact.handle(event, delivery);
                handled.put(event.id(), letters(event.id()));
            } catch (Throwable e) {
                thrown.put(event.id(), e);
                throw e;
            }
        };
    }

    // ---- what is there

    /**
     * Statements that are run and committed first.
     *
     * @throws IllegalStateException if the handler was given no database
     */
    public HandlerFixture<P> given(String... statements) throws SQLException {
        try (Connection connection = database().getConnection();
                Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
            if (!connection.getAutoCommit()) {
                connection.commit();
            }
        }
        return this;
    }

    /**
     * The outbox through which the handler publishes, for {@link #expectPublished}: it gets tables in the handler's database, and a relay.
     * Comes before the first {@link #when(Object[])}.
     *
     * @param outbox on H2
     * @throws IllegalStateException if the handler was given no database
     */
    public HandlerFixture<P> publishingTo(JdbcOutbox outbox) throws SQLException {
        outbox.createTables(database());
        bus.start(OutboxRelay.builder(outbox, database(), bus.kafka()).build());
        return this;
    }

    // ---- what happens

    /**
     * Events come, and all is run until nothing is to do and nothing waits. What is expected afterwards is expected of these.
     *
     * @param payloads one or more
     * @throws AssertionError if the handler made the runner stop, as by ending the transaction that it was lent
     */
    @SafeVarargs
    public final HandlerFixture<P> when(P... payloads) {
        return cameIn(bus.publish(type, payloads));
    }

    /** As {@link #when(Object[])}, with an id, a time and headers of the test's choice. */
    public HandlerFixture<P> when(Event<P> event) {
        bus.publish(event);
        return cameIn(List.of(event));
    }

    /** The same events come once more, as after a crash: a handler without an inbox must stand that. */
    public HandlerFixture<P> again() {
        List<Event<P>> same = cameInLast();
        same.forEach(event -> bus.faults().duplicate(event.id()));
        return cameIn(same);
    }

    private HandlerFixture<P> cameIn(List<Event<P>> events) {
        last = List.copyOf(events);
        last.forEach(event -> putIn.add(event.id()));
        bus.runUntilIdle();
        if (!stopped.isEmpty()) {
            throw failure("a partition was stopped: " + stopped, null);
        }
        return this;
    }

    // ---- what must be so

    /** All of them were handled, at the fourth attempt at the latest. One whose key an earlier event has parked was not. */
    public HandlerFixture<P> expectHandled() {
        for (Event<P> event : cameInLast()) {
            if (!handled.containsKey(event.id()) || hasFailed(event)) {
                throw failure("event %s was not handled".formatted(event.id()), thrown.get(event.id()));
            }
        }
        return this;
    }

    /**
     * The last of them failed for good and is a dead letter; with an inbox its key is then parked.
     *
     * @param by class of what the handler threw, or of one of its causes, or above it
     */
    public HandlerFixture<P> expectFailed(Class<? extends Throwable> by) {
        List<Event<P>> events = cameInLast();
        Event<P> event = events.get(events.size() - 1);
        Throwable why = thrown.get(event.id());
        if (!hasFailed(event)) {
            throw failure("event %s did not fail for good".formatted(event.id()), why);
        }
        if (!isOrComesFrom(by, why)) {
            throw failure("event %s did not fail by a %s".formatted(event.id(), by.getName()), why);
        }
        return this;
    }

    /**
     * The last of them is parked with its key: it failed for good, or it waits behind an event of its key that did.
     *
     * @throws IllegalStateException if the handler was given no database, and so parks nothing
     */
    public HandlerFixture<P> expectParked() throws SQLException {
        List<Event<P>> events = cameInLast();
        Event<P> event = events.get(events.size() - 1);
        if (JdbcInbox.h2(database()).parking().find(group, event.id()).isEmpty()) {
            throw failure("event %s is not parked".formatted(event.id()), thrown.get(event.id()));
        }
        return this;
    }

    private static boolean isOrComesFrom(Class<? extends Throwable> by, @Nullable Throwable why) {
        int depth = 0;
        for (Throwable one = why; one != null && depth++ < MOST_CAUSES; one = one.getCause()) {
            if (by.isInstance(one)) {
                return true;
            }
        }
        return false;
    }

    /**
     * A query finds these rows, in this order.
     *
     * @param rows the values of each, as text with {@code " | "} between them
     * @throws IllegalStateException if the handler was given no database
     */
    public HandlerFixture<P> expectRows(String query, String... rows) throws SQLException {
        List<String> found = new ArrayList<>();
        try (Connection connection = database().getConnection();
                Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery(query)) {
            int columns = result.getMetaData().getColumnCount();
            while (result.next()) {
                List<String> values = new ArrayList<>();
                for (int column = 1; column <= columns; column++) {
                    values.add(String.valueOf(result.getString(column)));
                }
                found.add(String.join(" | ", values));
            }
        }
        expectSame("rows of " + query, List.of(rows), found);
        return this;
    }

    /**
     * What handlers have published of a type and committed, in the order of its topic, beside the events that came in.
     *
     * @param payloads with an {@code equals}, as records have; none if nothing is to be published
     */
    @SafeVarargs
    public final <T> HandlerFixture<P> expectPublished(EventType<T> published, T... payloads) {
        List<T> found = bus.events(published).stream()
                .filter(event -> !putIn.contains(event.id()))
                .map(Event::payload)
                .toList();
        expectSame("events of type " + published.name(), List.of(payloads), found);
        return this;
    }

    private static void expectSame(String what, List<?> expected, List<?> found) {
        if (!expected.equals(found)) {
            throw new AssertionError("%s%n  expected: %s%n  found:    %s"
                    .formatted(what, lines(expected.stream()), lines(found.stream())));
        }
    }

    private static String lines(Stream<?> values) {
        return values.map(String::valueOf).collect(joining("%n            ".formatted()));
    }

    /** For good, and was not handled since. */
    private boolean hasFailed(Event<P> event) {
        return letters(event.id()) > handled.getOrDefault(event.id(), 0L);
    }

    private long letters(String id) {
        return bus.deadLetters().stream()
                .map(DeadLetter::origin)
                .filter(origin -> origin != null && id.equals(origin.eventId()))
                .count();
    }

    private static AssertionError failure(String what, @Nullable Throwable why) {
        return new AssertionError(
                "%s; %s"
                        .formatted(
                                what, why == null ? "the handler has thrown nothing" : "the handler has thrown " + why),
                why);
    }

    private List<Event<P>> cameInLast() {
        if (last.isEmpty()) {
            throw new IllegalStateException("no event has come in; say when(...) first");
        }
        return last;
    }

    private DataSource database() {
        if (database == null) {
            throw new IllegalStateException("this handler has no database; make its fixture by inTransaction(...)");
        }
        return database;
    }

    /** Ends the runner. The database is the test's. */
    @Override
    public void close() {
        bus.close();
    }
}
