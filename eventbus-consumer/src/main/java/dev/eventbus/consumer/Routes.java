package dev.eventbus.consumer;

import static java.util.stream.Collectors.toSet;

import dev.eventbus.DecodeException;
import dev.eventbus.Event;
import dev.eventbus.EventDecoder;
import dev.eventbus.EventType;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.FailurePolicy.OutageWatch;
import dev.eventbus.consumer.InFlight.Delivered;
import dev.eventbus.consumer.batch.BatchHandler;
import dev.eventbus.consumer.batch.TransactionalBatch;
import dev.eventbus.consumer.deadletter.RedriveHeaders;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.internal.InterruptFlag;
import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;

/** Which handler a record goes to: by topic for dead letters, by the name of its type for events. Immutable. */
final class Routes {

    /** Where events of one type go. */
    sealed interface Route {

        EventType<?> type();

        OutageWatch watch();

        /** How many of its events may be handled together. */
        Batching batching();

        /** @param transaction for a handler that takes one */
        void handle(Event<Object> event, Delivered delivery, Connection transaction) throws Exception;

        /** To a handler whose effects happen at least once. */
        record AtLeastOnce(
                EventType<?> type, EventHandler<Object, Delivery> handler, OutageWatch watch, Batching batching)
                implements Route {

            @Override
            public void handle(Event<Object> event, Delivered delivery, Connection transaction) throws Exception {
                handler.handle(event, delivery);
            }
        }

        /** To a handler whose effects commit together with a mark. */
        record Once(
                EventType<?> type,
                EventHandler<Object, TransactionalDelivery> handler,
                OutageWatch watch,
                Batching batching)
                implements Route {

            @Override
            public void handle(Event<Object> event, Delivered delivery, Connection transaction) throws Exception {
                handler.handle(event, delivery.in(transaction));
            }
        }
    }

    /**
     * How events are handled together.
     *
     * @param most how many of them, 1 for none
     * @param handler takes them in one call; null if they are called for one by one, in one transaction
     */
    record Batching(int most, @Nullable BatchHandler<Object, TransactionalBatch> handler) {

        static final Batching NONE = new Batching(1, null);

        void handle(List<Event<Object>> events, TransactionalBatch batch) throws Exception {
            Objects.requireNonNull(handler).handle(events, batch);
        }
    }

    /** A batch as its handler sees it. */
    record Batched(String group, int attempt, @Nullable Connection transaction) implements TransactionalBatch {

        @Override
        public Connection connection() {
            if (transaction == null) {
                throw new IllegalStateException("a batch handler without an inbox has no transaction");
            }
            return transaction;
        }
    }

    /** What is skipped and counted instead of being dead-lettered. */
    record Ignored(Set<String> types, boolean allOthers) {

        Ignored {
            types = Set.copyOf(types);
        }

        boolean contains(@Nullable String type) {
            return allOthers || type != null && types.contains(type);
        }
    }

    private final Map<String, Route> byType;
    private final Map<String, DeadLetterHandler> letters;
    private final Ignored ignored;
    private final @Nullable JdbcInbox inbox;
    private final EventDecoder decoder;
    private final boolean batches;

    /**
     * @param letters dead-letter handlers by logical topic
     * @param inbox of the routes that have one, and of records that are no event
     * @param logicalTopic the name that types know a record's topic by
     */
    Routes(
            Collection<? extends Route> routes,
            Map<String, DeadLetterHandler> letters,
            Ignored ignored,
            @Nullable JdbcInbox inbox,
            UnaryOperator<String> logicalTopic) {
        Map<String, Route> named = new LinkedHashMap<>();
        routes.forEach(route -> named.put(route.type().name(), route));
        this.byType = Map.copyOf(named);
        this.letters = Map.copyOf(letters);
        this.ignored = ignored;
        this.inbox = inbox;
        this.batches = routes.stream().anyMatch(route -> route.batching().most() > 1);
        this.decoder =
                new EventDecoder(routes.stream().<EventType<?>>map(Route::type).toList(), logicalTopic);
    }

    /** Logical topics to subscribe to. */
    Set<String> topics() {
        Set<String> topics = new LinkedHashSet<>(letters.keySet());
        byType.values().forEach(route -> topics.add(route.type().topic()));
        return topics;
    }

    /** The same as Kafka and the inbox have them. */
    Set<String> physicalTopics(KafkaCluster kafka) {
        return topics().stream().map(kafka::physicalTopic).collect(toSet());
    }

    Collection<Route> all() {
        return byType.values();
    }

    /** Names of the types that have a route of this kind. */
    List<String> names(Class<? extends Route> kind) {
        return byType.values().stream()
                .filter(kind::isInstance)
                .map(route -> route.type().name())
                .sorted()
                .toList();
    }

    @Nullable
    JdbcInbox inbox() {
        return inbox;
    }

    /** Throws {@link dev.eventbus.StartRefusedException} if there is an inbox that cannot be used. */
    void verifyInbox() {
        if (inbox != null) {
            inbox.verify();
        }
    }

    /** The inbox of the routes that have one. */
    JdbcInbox requireInbox() {
        return Objects.requireNonNull(inbox, "a route to effects once without an inbox");
    }

    /** Whether any events are handled together. */
    boolean batches() {
        return batches;
    }

    /** The handler of a topic of dead letters; null for a topic of events. */
    @Nullable
    DeadLetterHandler lettersOf(String logicalTopic) {
        return letters.isEmpty() ? null : letters.get(logicalTopic);
    }

    /**
     * Reads a record as an event of a known type, unless it was read and no handler has had that.
     *
     * @param doubled hears the type's name if a JSON key stands there twice, when it is read first
     * @throws DecodeException if it is none
     */
    Event<?> read(InFlight record, Consumer<String> doubled) {
        Event<?> before = record.event();
        if (before != null && record.isRead()) {
            return before;
        }
        try (InterruptFlag ignored = InterruptFlag.kept()) { // a codec is the user's
            Event<?> event = decoder.decode(record.record(), before == null ? doubled : type -> {});
            record.event(event);
            return event;
        }
    }

    Route of(Event<?> event) {
        Route route = byType.get(event.type().name());
        if (route == null) {
            throw new IllegalStateException("decoded an event of type %s, which has no handler"
                    .formatted(event.type().name()));
        }
        return route;
    }

    /**
     * Whether a record was redriven for another group; where effects happen once, nothing of that kind is believed.
     *
     * @param route null for a record that cannot be read
     */
    boolean skips(ConsumerRecord<byte[], byte[]> record, String group, @Nullable Route route) {
        boolean believes = inbox == null || route instanceof Route.AtLeastOnce;
        return believes && RedriveHeaders.isForAnother(record.headers(), group);
    }

    /** Whether a record that could not be read is of a type to be skipped. */
    boolean ignores(DecodeException unreadable) {
        return unreadable.reason() == FailureReason.UNKNOWN_TYPE && ignored.contains(unreadable.eventType());
    }
}
