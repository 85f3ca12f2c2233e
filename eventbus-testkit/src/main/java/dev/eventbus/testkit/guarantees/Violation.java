package dev.eventbus.testkit.guarantees;

import java.util.Objects;

/**
 * A guarantee that a history does not keep.
 *
 * @param guarantee its name, such as {@code perKeyOrder}
 * @param eventId of the event that shows it
 * @param text what happened, without keys
 */
public record Violation(String guarantee, String eventId, String text) {

    public Violation {
        Objects.requireNonNull(guarantee, "guarantee");
        Objects.requireNonNull(eventId, "eventId");
        Objects.requireNonNull(text, "text");
    }

    @Override
    public String toString() {
        return "%s: event %s %s".formatted(guarantee, eventId, text);
    }
}
