package dev.eventbus.outbox.sql;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How many partitions a topic is taken to have, as it stands in {@code eventbus_meta}: {@code 3}, or {@code 3>6 token} while another
 * count is being adopted.
 *
 * @param count in use
 * @param target the count that is being adopted, or the same
 * @param token of the adoption; empty if there is none
 */
public record RecordedPartitions(int count, int target, String token) {

    private static final Pattern FORM = Pattern.compile("([1-9]\\d{0,8})(?:>([1-9]\\d{0,8}) (\\S+))?");

    /** @throws IllegalArgumentException if it is neither of the two, naming it */
    public static RecordedPartitions parse(String value) {
        Matcher parts = FORM.matcher(value);
        if (!parts.matches()) {
            throw new IllegalArgumentException(
                    "'%s' is no count of partitions, such as 3, nor the mark of an adoption, such as '3>6 token'"
                            .formatted(value));
        }
        int count = Integer.parseInt(parts.group(1));
        return parts.group(2) == null
                ? new RecordedPartitions(count, count, "")
                : new RecordedPartitions(count, Integer.parseInt(parts.group(2)), parts.group(3));
    }

    public boolean isMarked() {
        return !token.isEmpty();
    }

    @Override
    public String toString() {
        return isMarked() ? "%d>%d %s".formatted(count, target, token) : String.valueOf(count);
    }
}
