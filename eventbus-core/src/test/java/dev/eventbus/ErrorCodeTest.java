package dev.eventbus;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class ErrorCodeTest {

    private static final Path PAGE = Path.of("..", "docs", "errors.md");

    /** Codes that were published; they keep their meaning for ever, so a line here is never changed or removed. */
    private static final List<String> PUBLISHED = List.of(
            "EB-1001 TOPIC_MISSING",
            "EB-1003 NOBODY_LISTENS",
            "EB-1004 ADDRESS_UNUSABLE",
            "EB-1005 SPEAKS_PLAINTEXT",
            "EB-1006 SPEAKS_TLS",
            "EB-1007 NOT_AUTHORIZED",
            "EB-1008 REPLICATION_WEAK",
            "EB-1009 NOT_ENOUGH_REPLICAS",
            "EB-1010 EVENT_TOO_LARGE",
            "EB-1011 NO_ANSWER",
            "EB-1012 TLS_NOT_TRUSTED",
            "EB-1013 TOPIC_NAME_INVALID",
            "EB-1014 TOO_FEW_BROKERS",
            "EB-1015 BROKER_TOO_OLD",
            "EB-1016 GROUP_INSTANCE_TAKEN",
            "EB-1017 RECORD_TOO_LARGE",
            "EB-1018 DEAD_LETTER_NOT_SENT",
            "EB-1019 PARTITIONS_ARE_ADOPTED",
            "EB-1021 NOT_AUTHENTICATED",
            "EB-1099 KAFKA_FAILED",
            "EB-2001 NO_TRANSACTION",
            "EB-2002 AUTO_COMMIT",
            "EB-2004 OUTBOX_UNUSABLE",
            "EB-2005 KEY_MISSING",
            "EB-2021 UNSAFE_SESSION",
            "EB-2022 EVENT_INVALID",
            "EB-2023 PAYLOAD_UNWRITABLE",
            "EB-2024 DATABASE_REFUSED",
            "EB-2025 HEADERS_NOT_CARRIED",
            "EB-3001 RECORD_UNREADABLE",
            "EB-3004 AT_WORK_FOR_LONG",
            "EB-3021 HANDLER_ENDED_TRANSACTION",
            "EB-3022 INBOX_UNUSABLE",
            "EB-4021 ADOPTION_ENDED",
            "EB-5001 SETTINGS_REFUSED",
            "EB-5021 RUNNER_CONTRADICTS_ITSELF",
            "EB-5022 RELAY_CONTRADICTS_ITSELF",
            "EB-5023 TOPICS_CONTRADICT_THEMSELVES",
            "EB-5024 TOPICS_DIFFER",
            "EB-6001 POSTGRES_AS_ROOT");

    @Test
    void a_code_keeps_its_meaning() {
        assertThat(codes().map(code -> code.id() + " " + code.name())).containsExactlyElementsOf(PUBLISHED);
    }

    @Test
    void the_page_of_errors_tells_what_each_code_means_and_what_to_do() throws IOException {
        String page = page();
        Path made = Path.of("target", "errors.md");
        Files.writeString(made, page);

        assertThat(Files.readString(PAGE))
                .as("%s is made of ErrorCode: copy eventbus-core/%s over it", PAGE.getFileName(), made)
                .isEqualTo(page);
    }

    @Test
    void an_exception_begins_with_its_code() {
        KafkaAccessException error =
                new KafkaAccessException(ErrorCode.TOPIC_MISSING, "kafka", "Kafka cluster 'kafka' says so.", null);

        assertThat(error.code()).isEqualTo(ErrorCode.TOPIC_MISSING);
        assertThat(error).hasMessage("EB-1001 Kafka cluster 'kafka' says so.");
    }

    private static Stream<ErrorCode> codes() {
        return Arrays.stream(ErrorCode.values()).sorted(Comparator.comparing(ErrorCode::id));
    }

    private static String page() {
        StringBuilder page = new StringBuilder("""
                # Errors

                Every `EventBusException` has a code, and its message begins with it (but that of a `DecodeException`, which has a reason). Problems
                with Kafka in the health of relay and runner contain it, and some problems have one that are no exception of the library: EB-1008,
                EB-3004, EB-6001. A code never changes its meaning: search logs for it, alert on it, ask `code()` for it. Texts may change. None holds
                a payload, a key or a secret.

                This page is made of `ErrorCode`; a test holds it against it.
                """);
        codes().forEach(code ->
                page.append("""

                ## %s

                `%s`. %s

                - **Your data:** %s
                - **What to do:** %s
                """.formatted(code.id(), code.name(), code.what(), code.data(), code.fix())));
        page.append("""

                ## What nobody detects

                Two programs that use one consumer group by mistake. Each partition goes to one of them, so each misses what the other reads, and gets
                types that it has no handler for into its dead letters (`UNKNOWN_TYPE`). Give each program a group of its own.
                """);
        return page.toString();
    }
}
