package dev.eventbus;

/** Sizes that every event keeps; refused by {@code publish} before any SQL, and when reading. Bytes are UTF-8. */
public final class EventLimits {

    /** Longest event id: 128 bytes. */
    public static final int MAX_ID_BYTES = 128;

    /** Longest key: 255 bytes. */
    public static final int MAX_KEY_BYTES = 255;

    /** Longest name of an event type: 255 characters. */
    public static final int MAX_TYPE_LENGTH = 255;

    /** Most headers of the user's own: 64. */
    public static final int MAX_HEADERS = 64;

    /** All names and values of the user's own headers together: 16 KiB. */
    public static final int MAX_HEADERS_BYTES = 16 * 1024;

    /** Default of the largest event that may be published, {@code maxEventBytes}: 1,000,000 bytes. */
    public static final int MAX_EVENT_BYTES = 1_000_000;

    /** Largest value that is decoded when reading: 1 MiB. */
    public static final int MAX_READ_BYTES = 1024 * 1024;

    private EventLimits() {}
}
