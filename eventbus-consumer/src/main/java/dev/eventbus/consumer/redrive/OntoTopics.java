package dev.eventbus.consumer.redrive;

import dev.eventbus.EventHeaders;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.consumer.deadletter.RedriveHeaders;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.redrive.Redrive.Source;
import dev.eventbus.consumer.redrive.TopicReader.Range;
import dev.eventbus.topics.KafkaFaults;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.PolicyViolationException;
import org.apache.kafka.common.errors.RecordBatchTooLargeException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;

/** For groups without an inbox: whether letters may go back to their topics, whether they have, and sending them. */
final class OntoTopics {

    private static final Map<String, Object> SETTINGS = Map.of(
            ProducerConfig.ACKS_CONFIG, "all",
            ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true,
            ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, 10_000,
            ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, 5_000,
            ProducerConfig.MAX_BLOCK_MS_CONFIG, 5_000,
            ProducerConfig.LINGER_MS_CONFIG, 0,
            ProducerConfig.MAX_REQUEST_SIZE_CONFIG, 16 * 1024 * 1024);

    /** With these nothing was written; of all others nobody knows. */
    private static final List<Class<? extends KafkaException>> REFUSALS = List.of(
            AuthenticationException.class,
            AuthorizationException.class,
            InvalidRecordException.class,
            InvalidTopicException.class,
            PolicyViolationException.class,
            RecordBatchTooLargeException.class,
            RecordTooLargeException.class,
            SerializationException.class);

    private static final String UNTOUCHED = "nothing was changed by this step";
    private static final int ANSWER_SECONDS = 15;

    private final Source source;
    private final TopicReader reader;

    OntoTopics(Source source, TopicReader reader) {
        this.source = source;
        this.reader = reader;
    }

    /** How the letters stand: where they may not go back to, and which have been put back before. */
    List<Found> standings(List<Found> letters) {
        Set<TopicPartition> named = new HashSet<>();
        letters.forEach(found -> named.add(placeOf(found)));
        Map<TopicPartition, Long> committed = named.isEmpty() ? Map.of() : reader.committed(named);
        Set<String> read = new LinkedHashSet<>();
        committed.keySet().forEach(partition -> read.add(partition.topic()));
        Set<String> compacted = compactedOf(read);
        List<Found> known = new ArrayList<>();
        Standing unread = unread(committed);
        for (Found found : letters) {
            boolean isRead = committed.containsKey(placeOf(found));
            known.add(found.as(isRead ? standing(found, compacted) : unread));
        }
        return withoutThoseBack(known);
    }

    private Standing standing(Found found, Set<String> compacted) {
        String topic = found.origin().topic();
        if (topic.startsWith("__") || topic.equals(source.topic())) {
            return Standing.FOREIGN_TOPIC;
        }
        return compacted.contains(topic) ? Standing.COMPACTED : found.standing();
    }

    /** How letters stand that name a partition of which Kafka holds no offset of the group. */
    private static Standing unread(Map<TopicPartition, Long> committed) {
        return committed.isEmpty() ? Standing.NO_OFFSETS : Standing.FOREIGN_TOPIC;
    }

    /** The same letters, of which those are foreign that name a partition which the group has never read: no runner of it has them. */
    static List<Found> ofTopicsRead(List<Found> letters, TopicReader reader) {
        Set<TopicPartition> named = new HashSet<>();
        letters.forEach(found -> named.add(placeOf(found)));
        Map<TopicPartition, Long> committed = named.isEmpty() ? Map.of() : reader.committed(named);
        Standing unread = unread(committed);
        return letters.stream()
                .map(found -> committed.containsKey(placeOf(found)) ? found : found.as(unread))
                .toList();
    }

    private static TopicPartition placeOf(Found found) {
        return new TopicPartition(found.origin().topic(), found.origin().partition());
    }

    private Set<String> compactedOf(Collection<String> topics) {
        Set<String> compacted = new HashSet<>();
        if (topics.isEmpty()) {
            return compacted;
        }
        List<ConfigResource> asked = topics.stream()
                .map(topic -> new ConfigResource(ConfigResource.Type.TOPIC, topic))
                .toList();
        try (Admin admin = source.kafka().admin()) {
            Map<ConfigResource, Config> answers =
                    admin.describeConfigs(asked).all().get(ANSWER_SECONDS, TimeUnit.SECONDS);
            answers.forEach((resource, config) -> {
                ConfigEntry policy = config.get(TopicConfig.CLEANUP_POLICY_CONFIG);
                if (policy == null || policy.value().contains(TopicConfig.CLEANUP_POLICY_COMPACT)) {
                    compacted.add(resource.name());
                }
            });
        } catch (UnsupportedOperationException e) {
            return compacted; // a cluster in memory compacts nothing
        } catch (ExecutionException | TimeoutException | KafkaException e) {
            throw KafkaFaults.diagnose(
                    source.kafka(),
                    e,
                    "%s, which asks whether %s are compacted and needs the ACL DescribeConfigs on them"
                            .formatted(UNTOUCHED, topics));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw KafkaFaults.diagnose(source.kafka(), e, UNTOUCHED);
        }
        return compacted;
    }

    /** A letter that was put back stands in its topic once more, for this group and with the next number. */
    private List<Found> withoutThoseBack(List<Found> letters) {
        Map<TopicPartition, List<Found>> ready = new HashMap<>();
        letters.stream()
                .filter(Found::isReady)
                .forEach(found -> ready.computeIfAbsent(placeOf(found), place -> new ArrayList<>())
                        .add(found));
        Set<Found> back = new HashSet<>();
        reader.ranges(ready.keySet()).forEach((partition, range) -> {
            List<Found> here = ready.getOrDefault(partition, List.of());
            long oldest = here.stream()
                    .mapToLong(found -> found.origin().offset())
                    .min()
                    .orElse(range.to());
            long from = Math.max(range.from(), oldest + 1);
            reader.read(partition, new Range(from, range.to()), record -> {
                if (RedriveHeaders.isFor(record.headers(), source.group())) {
                    here.stream() // one record is one event: of those with equal bytes the first that is not back yet
                            .filter(found -> isBack(found, record) && !back.contains(found))
                            .findFirst()
                            .ifPresent(back::add);
                }
                return true;
            });
        });
        return letters.stream()
                .map(found -> back.contains(found) ? found.as(Standing.ALREADY_APPLIED) : found)
                .toList();
    }

    private static boolean isBack(Found found, ConsumerRecord<byte[], byte[]> record) {
        return RedriveHeaders.redrives(record.headers())
                        == Math.min(RedriveHeaders.MOST_REDRIVES, found.origin().redrives() + 1)
                && Arrays.equals(record.key(), found.key())
                && isOf(found.origin().eventId(), record.headers().lastHeader(EventHeaders.ID))
                && Arrays.equals(
                        Mark.of(found.origin().group(), found.origin().eventId(), record)
                                .payloadHash(),
                        found.mark().payloadHash());
    }

    /** Whether a record may have that id, as far as a header tells. */
    private static boolean isOf(@Nullable String eventId, @Nullable Header id) {
        return eventId == null
                || id == null
                || id.value() == null
                || eventId.equals(new String(id.value(), StandardCharsets.UTF_8));
    }

    /** The producer, for one run. The caller closes it. */
    Producer<byte[], byte[]> producer() {
        try {
            return source.kafka().producer(SETTINGS);
        } catch (KafkaException e) {
            throw KafkaFaults.diagnose(source.kafka(), e, UNTOUCHED);
        }
    }

    /**
     * Puts a letter back where it came from, and waits for the broker's acknowledgement.
     *
     * @throws KafkaAccessException if that does not come; {@link #isRefused} tells whether it may be there all the same
     */
    void send(Producer<byte[], byte[]> producer, Found found, ConsumerRecord<byte[], byte[]> letter) {
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
                found.origin().topic(),
                found.origin().partition(),
                null,
                letter.key(),
                letter.value(),
                RedriveHeaders.put(
                        letter.headers(), source.group(), found.origin().redrives() + 1));
        String unknown = "whether the letter arrived in '%s' is not known; run again, those that did are left alone"
                .formatted(record.topic());
        String refused = "the letter was not put back into '%s'".formatted(record.topic());
        try {
            producer.send(record).get(ANSWER_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException | KafkaException e) {
            throw KafkaFaults.diagnose(source.kafka(), e, refuses(e) ? refused : unknown);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw KafkaFaults.diagnose(source.kafka(), e, unknown);
        }
    }

    /** Whether Kafka has said no to a letter. After anything else, a time-out above all, it may be in its topic or not. */
    static boolean isRefused(KafkaAccessException failure) {
        return refuses(failure);
    }

    private static boolean refuses(Throwable failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            Throwable known = cause;
            if (REFUSALS.stream().anyMatch(refusal -> refusal.isInstance(known))) {
                return true;
            }
        }
        return false;
    }
}
