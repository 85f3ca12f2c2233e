package dev.eventbus;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.core.JsonProcessingException;
import java.time.Instant;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Whether a value that is read and bound in one pass comes to the same as one that is read first and bound then. */
final class OnePass {

    private static final int LARGE = 10_000;

    private final List<? extends PayloadBinding<?>> bindings;
    private final Set<String> wanted = new HashSet<>(JsonEnvelope.NAMES);
    private int checks;

    OnePass(EventType<?>... types) {
        this.bindings = Arrays.stream(types).map(PayloadBinding::new).toList();
        for (PayloadBinding<?> binding : bindings) {
            wanted.add(binding.type().keyProperty());
            wanted.addAll(binding.primitives());
        }
    }

    /** Binds to all types, and what is large to one after the other. */
    void check(byte @Nullable [] value) {
        if (value != null && value.length > LARGE) {
            check(value, bindings.get(checks++ % bindings.size()));
            return;
        }
        bindings.forEach(binding -> check(value, binding));
    }

    private void check(byte @Nullable [] value, PayloadBinding<?> binding) {
        assertThat(outcome(binding, () -> JsonDocument.read(value, wanted, binding)))
                .isEqualTo(outcome(binding, () -> JsonDocument.read(value, wanted)));
    }

    private String outcome(PayloadBinding<?> binding, Supplier<JsonDocument> read) {
        StringBuilder outcome = new StringBuilder();
        try {
            JsonDocument document = read.get();
            for (String property : wanted) {
                outcome.append(document.has(property)).append(document.text(property));
            }
            outcome.append(document.doubledAt());
            Event<?> event = binding.event("e-1", "u", Instant.EPOCH, Map.of(), document);
            outcome.append(StrictJson.MAPPER.writeValueAsString(event.payload()));
        } catch (DecodeException e) {
            outcome.append(e.reason()).append(e.getMessage());
        } catch (JsonProcessingException e) {
            throw new AssertionError("what was read cannot be written", e);
        }
        return outcome.toString();
    }
}
