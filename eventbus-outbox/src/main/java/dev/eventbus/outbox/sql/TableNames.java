package dev.eventbus.outbox.sql;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Where the outbox's tables are: one set per schema, of which only the event table may have another name.
 *
 * <p>A name comes from an allow-list and is always quoted, so it means the same on every database and can carry no SQL.
 *
 * @param schema null for the session's own
 * @param events name of the event table
 */
public record TableNames(@Nullable String schema, String events) {

    /** Name of the event table unless another is chosen. */
    public static final String DEFAULT_EVENTS = "eventbus_outbox";

    private static final Pattern ALLOWED = Pattern.compile("[A-Za-z_][A-Za-z0-9_]{0,62}");
    private static final Pattern QUOTED = Pattern.compile("([\"`])(eventbus_[a-z_]+)\\1");

    /** @throws IllegalArgumentException if a name is not 1 to 63 letters, digits and underscores, not beginning with a digit */
    public TableNames {
        if (schema != null) {
            checkAllowed("schema", schema);
        }
        checkAllowed("table", events);
    }

    /** The tables under their own names in the session's schema. */
    public static TableNames defaults() {
        return new TableNames(null, DEFAULT_EVENTS);
    }

    /**
     * Puts these names into a statement that is written with the default ones, each in double quotes, or in backticks where those are
     * the database's quotes.
     */
    public String in(String sql) {
        return QUOTED.matcher(sql)
                .replaceAll(found -> Matcher.quoteReplacement(qualified(found.group(2), found.group(1))));
    }

    /** The event table as it stands in a statement. */
    public String qualifiedEvents() {
        return qualified(DEFAULT_EVENTS, "\"");
    }

    private String qualified(String table, String quote) {
        String name = quote + (table.equals(DEFAULT_EVENTS) ? events : table) + quote;
        return schema == null ? name : quote + schema + quote + "." + name;
    }

    private static void checkAllowed(String what, String name) {
        if (!ALLOWED.matcher(name).matches()) {
            throw new IllegalArgumentException(
                    "%s must be 1 to 63 letters, digits and underscores and not begin with a digit, was %d characters that are not"
                            .formatted(what, name.length()));
        }
    }
}
