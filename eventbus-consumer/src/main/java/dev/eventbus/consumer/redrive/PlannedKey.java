package dev.eventbus.consumer.redrive;

import java.time.Instant;

/**
 * A key of which something can be redriven.
 *
 * @param topic physical topic
 * @param keyHash the first 16 hexadecimal digits of the SHA-256 of the key
 * @param letters how many of its dead letters can be redriven
 * @param parked how many of its events are parked
 * @param oldest when the first of them failed, or the key was parked
 * @param laterHandled how many later events of the key the group has dealt with since its oldest letter; 0 for a key that is parked
 * @param exact whether that is all of them: retention may have taken some away, or there was too much to read
 */
public record PlannedKey(
        String topic, String keyHash, int letters, long parked, Instant oldest, long laterHandled, boolean exact) {}
