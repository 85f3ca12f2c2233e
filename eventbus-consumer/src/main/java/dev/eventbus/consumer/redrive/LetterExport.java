package dev.eventbus.consumer.redrive;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.Redrive.Source;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.util.Base64;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.jspecify.annotations.Nullable;

/** Writes letters and parked events as lines of JSON: bytes as Base64, and as text where they are UTF-8. */
final class LetterExport {

    /** ASCII only: neither a terminal nor a character set loses or obeys anything of it. */
    private final ObjectMapper mapper = JsonMapper.builder(JsonFactory.builder()
                    .enable(JsonWriteFeature.ESCAPE_NON_ASCII)
                    .build())
            .build();

    private final Source source;
    private final List<Found> letters;
    private final PlannedKeys keys;

    LetterExport(Source source, List<Found> letters, PlannedKeys keys) {
        this.source = source;
        this.letters = letters;
        this.keys = keys;
    }

    long writeTo(Appendable out) throws IOException {
        long lines = 0;
        if (!letters.isEmpty()) {
            try (TopicReader reader = new TopicReader(source.kafka(), source.group())) {
                LetterWindow bytes = new LetterWindow(source, reader, letters);
                for (Found found : letters) {
                    ConsumerRecord<byte[], byte[]> letter = bytes.get(found);
                    if (letter != null) {
                        out.append(line(found, letter)).append('\n');
                        lines++;
                    }
                }
            }
        }
        JdbcInbox inbox = source.inbox();
        if (inbox != null) {
            KeyStore store = new KeyStore(inbox, source.group());
            for (ParkedKey key : keys.parked()) {
                lines += writeTo(out, store, store.eventIds(key));
            }
        }
        return lines;
    }

    private long writeTo(Appendable out, KeyStore store, List<String> ids) throws IOException {
        long lines = 0;
        int next = 0;
        while (next < ids.size()) {
            KeyStore.Some some = store.events(ids, next);
            for (ParkedEvent event : some.events()) {
                out.append(line(event)).append('\n');
                lines++;
            }
            next = some.next();
        }
        return lines;
    }

    private String line(Found found, ConsumerRecord<byte[], byte[]> letter) throws IOException {
        Origin origin = found.origin();
        ObjectNode line = mapper.createObjectNode()
                .put("kind", "deadLetter")
                .put("letterPartition", letter.partition())
                .put("letterOffset", letter.offset())
                .put("failedAt", origin.failedAt().toString())
                .put("exception", origin.exception())
                .put("message", origin.message())
                .put("redrives", origin.redrives())
                .put("standing", found.standing().name());
        event(
                line,
                origin.topic(),
                origin.partition(),
                origin.offset(),
                origin.reason().name());
        return mapper.writeValueAsString(bytes(
                line.put("eventId", found.mark().eventId()).put("attempts", origin.attempts()),
                letter.key(),
                letter.value(),
                letter.headers()));
    }

    private String line(ParkedEvent event) throws IOException {
        ObjectNode line = mapper.createObjectNode().put("kind", "parked").put("message", event.error());
        event(line, event.topic(), event.partition(), event.offset(), event.reason());
        ConsumerRecord<byte[], byte[]> record = event.record();
        return mapper.writeValueAsString(bytes(
                line.put("eventId", event.eventId()).put("attempts", event.attempts()),
                record.key(),
                record.value(),
                record.headers()));
    }

    private static void event(ObjectNode line, String topic, int partition, long offset, @Nullable String reason) {
        line.put("topic", topic)
                .put("partition", partition)
                .put("offset", offset)
                .put("reason", reason);
    }

    private static ObjectNode bytes(ObjectNode line, byte @Nullable [] key, byte @Nullable [] value, Headers headers) {
        put(line, "key", key);
        put(line, "value", value);
        ArrayNode all = line.putArray("headers");
        for (Header header : headers) {
            put(all.addObject().put("name", header.key()), "value", header.value());
        }
        return line;
    }

    private static void put(ObjectNode line, String name, byte @Nullable [] bytes) {
        line.put(name, bytes == null ? null : Base64.getEncoder().encodeToString(bytes));
        String text = bytes == null ? null : text(bytes);
        if (text != null) {
            line.put(name + "Text", text);
        }
    }

    private static @Nullable String text(byte[] bytes) {
        try {
            return UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException e) {
            return null;
        }
    }
}
