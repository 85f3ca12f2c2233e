package dev.eventbus.consumer.internal;

import java.util.Collection;
import java.util.List;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RecordDeserializationException;
import org.jspecify.annotations.Nullable;

/**
 * Which partition it is whose records cannot be read: a batch with a wrong checksum, or one in an unknown format. The client then fails
 * polls until that partition is paused, and gives what the others have.
 *
 * <p>Of most such exceptions only the text says which. Where it does not name exactly one partition, nobody can be told apart.
 */
public final class Unreadable {

    private Unreadable() {}

    /** The partition that an exception of {@code poll} is about; null if it does not tell. */
    public static @Nullable TopicPartition partitionOf(KafkaException failure, Collection<TopicPartition> assigned) {
        if (failure instanceof RecordDeserializationException record) {
            return assigned.contains(record.topicPartition()) ? record.topicPartition() : null;
        }
        String text = String.valueOf(failure.getMessage());
        List<TopicPartition> named = assigned.stream()
                .filter(partition -> names(text, partition.toString()))
                .toList();
        return named.size() == 1 ? named.get(0) : null;
    }

    /** What went wrong, without what a record holds. */
    public static String reasonOf(KafkaException failure) {
        Throwable cause = failure.getCause() == null ? failure : failure.getCause();
        return cause.getClass().getName();
    }

    /** As a word of its own: a topic's name may be the end or the beginning of another one's. */
    private static boolean names(String text, String partition) {
        for (int at = text.indexOf(partition); at >= 0; at = text.indexOf(partition, at + 1)) {
            int end = at + partition.length();
            boolean sentenceEnds = end + 1 >= text.length() || !isOfName(text.charAt(end + 1));
            if ((at == 0 || !isOfName(text.charAt(at - 1)))
                    && (end == text.length()
                            || !isOfName(text.charAt(end))
                            || text.charAt(end) == '.' && sentenceEnds)) {
                return true;
            }
        }
        return false;
    }

    private static boolean isOfName(char c) {
        return c == '.' || c == '-' || c == '_' || Character.isLetterOrDigit(c);
    }
}
