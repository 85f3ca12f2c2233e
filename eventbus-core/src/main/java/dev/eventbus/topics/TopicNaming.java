package dev.eventbus.topics;

import java.util.regex.Pattern;

/**
 * How topics are named, checked by {@link TopicPlan.Builder#build()}. A word is of {@code a-z 0-9 _} and begins with a letter; one of
 * {@link #CDC} may begin with {@code _} too.
 */
public enum TopicNaming {

    /** {@code events.<domain>.<event_type>}, such as {@code events.scan.requested}: domain events, one type a topic. */
    EVENTS("events.<domain>.<event_type>", "events\\.[a-z][a-z0-9_]*\\.[a-z][a-z0-9_]*"),

    /** {@code cdc.<schema>.<table>}, such as {@code cdc.auth.users}: change data capture, one table a topic. */
    CDC("cdc.<schema>.<table>", "cdc\\.[a-z_][a-z0-9_]*\\.[a-z_][a-z0-9_]*"),

    /** Any name that Kafka takes. */
    FREE("any name that Kafka takes", ".+");

    private final String rule;
    private final Pattern pattern;

    TopicNaming(String rule, String pattern) {
        this.rule = rule;
        this.pattern = Pattern.compile(pattern);
    }

    /** For messages. */
    String rule() {
        return rule;
    }

    boolean allows(String topic) {
        return pattern.matcher(topic).matches();
    }
}
