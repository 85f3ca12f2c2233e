package dev.eventbus;

/**
 * Why a record was set aside: the closed list behind the dead-letter header {@code eventbus-dlq-reason} and the meters' label.
 */
public enum FailureReason {
    /** No value, nothing but white space, or the literal {@code null}. */
    EMPTY,
    /** Value over the decoder's size limit, or a name, a string or the number of tokens in it over the reading limits. */
    TOO_LARGE,
    /** Value, id or type is not well-formed UTF-8. */
    BAD_ENCODING,
    /** Not one JSON document. */
    MALFORMED_JSON,
    /** Nested deeper than the reading limit. */
    TOO_DEEP,
    /** Not a JSON object, or {@code eventId}, {@code eventType}, {@code timestamp} or the key property is missing, ill-typed or contradicts its header. */
    BAD_ENVELOPE,
    /** The key property differs from the record's key. */
    KEY_MISMATCH,
    /** More or larger headers than an event may have. */
    HEADER_LIMIT,
    /** An event type that the reader does not know. */
    UNKNOWN_TYPE,
    /** A payload property cannot be bound to its Java type, or a number is longer or larger than any type should hold. */
    BAD_VALUE,
    /** The event id is known, with another payload. */
    ID_CONFLICT,
    /** The handler failed with an exception that the retry policy does not retry. */
    NOT_RETRYABLE,
    /** The handler failed as often as the retry policy allows. */
    ATTEMPTS_EXHAUSTED,
    /** The event was running, or being read, each time the process died. */
    CRASHED_HANDLER
}
