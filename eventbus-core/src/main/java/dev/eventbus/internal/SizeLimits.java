package dev.eventbus.internal;

import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * How large an event may be: every one, and those of topics that take less.
 *
 * @param maxEventBytes value, key and headers together
 * @param topics {@code max.message.bytes} of the topics that declare it, by logical name
 */
public record SizeLimits(int maxEventBytes, Map<String, Integer> topics) {

    /**
     * A limit that an event is over.
     *
     * @param limit which, as a clause
     * @param fix how it is raised, as a clause
     */
    public record Excess(String limit, String fix) {}

    public SizeLimits {
        topics = Map.copyOf(topics);
    }

    public SizeLimits withMaxEventBytes(int bytes) {
        return new SizeLimits(bytes, topics);
    }

    public SizeLimits withTopic(String topic, int maxMessageBytes) {
        Map<String, Integer> more = new HashMap<>(topics);
        more.put(topic, maxMessageBytes);
        return new SizeLimits(maxEventBytes, more);
    }

    /**
     * What is too large about an event of a topic; null if nothing is.
     *
     * @param bytes its value, key and headers
     * @param around what the record adds to them
     */
    public @Nullable Excess excess(String topic, int bytes, int around) {
        if (bytes > maxEventBytes) {
            return new Excess(
                    "the limit maxEventBytes is %,d".formatted(maxEventBytes),
                    "raise maxEventBytes (a value has at most 1 MiB) together with the topic's max.message.bytes");
        }
        Integer taken = topics.get(topic);
        return taken != null && bytes > taken - around
                ? new Excess(
                        "topic %s takes %,d with %d for the record around it".formatted(topic, taken, around),
                        "raise the topic's max.message.bytes and its TopicSpec")
                : null;
    }
}
