package dev.eventbus.consumer.internal;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.Event;
import dev.eventbus.EventHeaders;
import dev.eventbus.internal.Checks;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;
import org.slf4j.MDC;

/**
 * What the MDC has while user code runs: {@code eventbus.eventId}, {@code .eventType}, {@code .topic}, {@code .partition}, {@code .offset},
 * {@code .group} and {@code .attempt}, and the record's {@code traceparent} and {@code tracestate}; after it, what it had before.
 */
public final class HandlerMdc implements AutoCloseable {

    /** W3C Trace Context; in the MDC under their own names. */
    private static final List<String> TRACE_HEADERS = List.of(EventHeaders.TRACEPARENT, EventHeaders.TRACESTATE);

    /** Longest text of a trace header that goes into the MDC. */
    private static final int MAX_TRACE = 512;

    private final @Nullable Map<String, String> before = MDC.getCopyOfContextMap();

    /**
     * Puts what is handled there, until this is closed.
     *
     * @param event null if what is handled is no event; not every MDC takes null
     * @param topic the record's, as a logical one
     */
    public void put(@Nullable Event<?> event, String group, String topic, ConsumerRecord<?, ?> record, int attempt) {
        if (event != null) {
            MDC.put("eventbus.eventId", Checks.printable(event.id()));
            MDC.put("eventbus.eventType", event.type().name());
        }
        MDC.put("eventbus.topic", topic);
        MDC.put("eventbus.partition", Integer.toString(record.partition()));
        MDC.put("eventbus.offset", Long.toString(record.offset()));
        MDC.put("eventbus.group", group);
        MDC.put("eventbus.attempt", Integer.toString(attempt));
        TRACE_HEADERS.forEach(name -> putTrace(name, record.headers().lastHeader(name)));
    }

    /** Whole or not at all: anybody may have written it. */
    private static void putTrace(String name, @Nullable Header header) {
        String text = header == null || header.value() == null ? "" : new String(header.value(), UTF_8);
        if (!text.isEmpty() && text.length() <= MAX_TRACE && Checks.isPrintable(text)) {
            MDC.put(name, text);
        }
    }

    @Override
    public void close() {
        if (before == null) {
            MDC.clear();
        } else {
            MDC.setContextMap(before);
        }
    }
}
