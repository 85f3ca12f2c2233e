package dev.eventbus.faults;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.EventType;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * What is published: a numbered change of a key.
 *
 * @param number of the event within its key, from 1, in the order of the commits
 * @param padding what makes it as large as it is to be
 */
record Change(String userId, Long number, String padding) {

    static final String TOPIC = "faults.events";
    static final String LETTERS = "faults.letters";

    static final EventType<Change> TYPE =
            EventType.of("CHANGED", Change.class).topic(TOPIC).key(Change::userId);

    String digest() {
        return digest(userId, number, padding);
    }

    static String digest(String key, long number, String padding) {
        return digest((key + '|' + number + '|' + padding).getBytes(UTF_8));
    }

    static String digest(byte[]... parts) {
        try {
            MessageDigest sha = MessageDigest.getInstance("SHA-256");
            for (byte[] part : parts) {
                sha.update(part);
            }
            return HexFormat.of().formatHex(sha.digest(), 0, 16);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JVM has SHA-256", e);
        }
    }
}
