package dev.eventbus.topics;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.utils.AppInfoParser;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Which Kafka clients may be used. Below 4.2.0 and 4.1.2 a producer can put a record into another topic or partition than it was meant
 * for (CVE-2026-35554). In 4.0.2 and 3.9.2 that is mended, but {@code CloseOptions} (KIP-1092) came with 4.1 and {@code
 * ConsumerRecords.nextOffsets} (KIP-1094) with 4.0: a runner would not leave its group there, or not even read.
 */
final class KafkaClientVersion {

    private static final Logger LOG = LoggerFactory.getLogger(KafkaClientVersion.class);

    /** Vendors' own numbers (for example 7.9.0-ccs) say nothing about Apache's. */
    private static final Pattern APACHE = Pattern.compile("(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,4})(?!.*-(?:ccs|ce)\\b).*");

    private KafkaClientVersion() {}

    /** What is wrong with the client on the class path. */
    static Optional<String> problemOnTheClassPath() {
        return problemOf(AppInfoParser.getVersion());
    }

    /** What is wrong with a version; a version that cannot be compared is let through with a warning. */
    static Optional<String> problemOf(String version) {
        Matcher numbers = APACHE.matcher(version);
        if (!numbers.matches()) {
            LOG.warn(
                    "The Kafka client calls itself '{}', so it cannot be checked for CVE-2026-35554 (records in wrong partitions);"
                            + " see that it is built from 4.2.0, 4.1.2 or later",
                    version);
            return Optional.empty();
        }
        int major = Integer.parseInt(numbers.group(1));
        int minor = Integer.parseInt(numbers.group(2));
        int patch = Integer.parseInt(numbers.group(3));
        if (mayBeUsed(major, minor, patch)) {
            return Optional.empty();
        }
        return Optional.of(
                "kafka-clients %s on the class path is too old: those before 4.1 have not all that a runner calls, and those before 4.2.0, 4.1.2, 4.0.2 and 3.9.2 can send records to a wrong topic or partition (CVE-2026-35554), which breaks P2 and P3; set the Maven property kafka.version to 4.2.0 or later (4.1.2 will do), or import eventbus-bom before any other BOM"
                        .formatted(version));
    }

    private static boolean mayBeUsed(int major, int minor, int patch) {
        return major > 4 || major == 4 && (minor >= 2 || minor == 1 && patch >= 2);
    }
}
