package dev.eventbus.outbox.sql;

/**
 * How many partitions a topic is taken to have, as it stands in {@code eventbus_meta}: {@code 3}, or {@code 3>6 token} while another
 * count is being adopted.
 *
 * @param count in use
 * @param target the count that is being adopted, or the same
 * @param token of the adoption; empty if there is none
 */
public record RecordedPartitions(int count, int target, String token) {

    public static RecordedPartitions parse(String value) {
        int mark = value.indexOf('>');
        if (mark < 0) {
            return new RecordedPartitions(Integer.parseInt(value), Integer.parseInt(value), "");
        }
        int blank = value.indexOf(' ', mark);
        return new RecordedPartitions(
                Integer.parseInt(value.substring(0, mark)),
                Integer.parseInt(value.substring(mark + 1, blank)),
                value.substring(blank + 1));
    }

    public boolean isMarked() {
        return !token.isEmpty();
    }

    @Override
    public String toString() {
        return isMarked() ? "%d>%d %s".formatted(count, target, token) : String.valueOf(count);
    }
}
