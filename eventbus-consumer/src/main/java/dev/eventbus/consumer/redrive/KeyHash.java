package dev.eventbus.consumer.redrive;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** A key as lists and logs show it: the first 16 hexadecimal digits of its SHA-256, as {@code runner.explain} does. */
public final class KeyHash {

    private static final int DIGITS = 16;

    private KeyHash() {}

    /** Of a raw key. */
    public static String of(byte[] key) {
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(key);
            return HexFormat.of().formatHex(hash).substring(0, DIGITS);
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }
}
