package dev.eventbus.consumer.deadletter;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.junit.jupiter.api.Test;

/** Anybody may have written these headers. */
class RedriveHeadersTest {

    private static Headers headers(String name, String value) {
        return new RecordHeaders().add(name, value.getBytes(UTF_8));
    }

    private static int redrives(String value) {
        return RedriveHeaders.redrives(headers("eventbus-redrives", value));
    }

    @Test
    void the_names_are_public_contract() {
        Headers put = RedriveHeaders.put(
                headers("mine", "1").add("eventbus-dlq-reason", new byte[0]).add("eventbus-redrives", new byte[0]),
                "ledger",
                2);
        assertThat(put)
                .extracting(header -> header.key() + "=" + new String(header.value(), UTF_8))
                .containsExactly("mine=1", "eventbus-redrive-group=ledger", "eventbus-redrives=2");
    }

    @Test
    void a_count_is_clamped_and_nonsense_is_none() {
        assertThat(redrives("3")).isEqualTo(3);
        assertThat(redrives("2147483647")).isEqualTo(RedriveHeaders.MOST_REDRIVES);
        assertThat(redrives("9999999999")).isEqualTo(RedriveHeaders.MOST_REDRIVES);
        assertThat(redrives("99999999999999999999")).isZero();
        assertThat(redrives("-1")).isZero();
        assertThat(redrives("abc")).isZero();
        assertThat(redrives("")).isZero();
        assertThat(RedriveHeaders.redrives(new RecordHeaders().add("eventbus-redrives", null)))
                .isZero();
        assertThat(RedriveHeaders.redrives(new RecordHeaders())).isZero();
    }

    @Test
    void a_record_is_for_another_group_only_if_it_names_one() {
        assertThat(RedriveHeaders.isForAnother(headers("eventbus-redrive-group", "ledger"), "audit"))
                .isTrue();
        assertThat(RedriveHeaders.isForAnother(headers("eventbus-redrive-group", "audit"), "audit"))
                .isFalse();
        assertThat(RedriveHeaders.isForAnother(headers("eventbus-redrive-group", ""), "audit"))
                .isFalse();
        assertThat(RedriveHeaders.isForAnother(headers("eventbus-redrive-group", "x".repeat(256)), "audit"))
                .isFalse();
        assertThat(RedriveHeaders.isForAnother(
                        new RecordHeaders().add("eventbus-redrive-group", new byte[] {(byte) 0xff}), "audit"))
                .isFalse();
        assertThat(RedriveHeaders.isForAnother(new RecordHeaders(), "audit")).isFalse();
    }
}
