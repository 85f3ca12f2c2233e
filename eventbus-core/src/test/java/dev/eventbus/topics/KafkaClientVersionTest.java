package dev.eventbus.topics;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class KafkaClientVersionTest {

    @ParameterizedTest
    @ValueSource(strings = {"4.2.0", "4.3.1", "4.10.0", "5.0.0", "4.1.2", "4.1.10", "4.2.0-SNAPSHOT"})
    void a_client_that_keeps_records_in_their_places_is_taken(String version) {
        assertThat(KafkaClientVersion.problemOf(version)).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "4.1.1",
                "4.1.0",
                "4.0.2",
                "4.0.1",
                "4.0.0",
                "3.9.2",
                "3.9.1",
                "3.9.0",
                "3.8.1",
                "3.1.0",
                "2.8.2",
                "3.9.1.redhat-00001"
            })
    void a_client_that_misroutes_records_or_lacks_what_a_runner_calls_is_refused_with_the_property_to_set(
            String version) {
        assertThat(KafkaClientVersion.problemOf(version))
                .hasValueSatisfying(problem -> assertThat(problem)
                        .contains(version, "CVE-2026-35554", "P2", "P3", "kafka.version", "eventbus-bom"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"unknown", "", "7.9.0-ccs", "8.0.0-ce", "4.2", "99999999999.0.0"})
    void one_that_cannot_be_compared_is_taken_with_a_warning(String version) {
        assertThat(KafkaClientVersion.problemOf(version)).isEmpty();
    }

    @Test
    void the_one_this_library_is_built_with_is_taken() {
        assertThat(KafkaClientVersion.problemOnTheClassPath()).isEmpty();
    }
}
