package dev.eventbus.consumer.redrive;

import java.time.Instant;

/**
 * A key of which something can be redriven, or of which nothing is.
 *
 * @param topic physical topic
 * @param keyHash the first 16 hexadecimal digits of the SHA-256 of the key
 * @param letters how many of its dead letters can be redriven
 * @param parked how many of its events are parked
 * @param oldest when the first of them failed, or the key was parked
 * @param laterHandled how many later events of the key the group has dealt with since its oldest letter, as far as they were found; 0 for
 *     a key that has no letter to redrive. A repeat in the topic counts again
 * @param exact whether that is all of them. It is not known where retention has taken some away, where there was too much to read, where the
 *     key has moved to another partition since, and where the topic was made again or the group set back
 * @param standing READY; of a parked key that is left out, why
 */
public record PlannedKey(
        String topic,
        String keyHash,
        int letters,
        long parked,
        Instant oldest,
        long laterHandled,
        boolean exact,
        Standing standing) {}
