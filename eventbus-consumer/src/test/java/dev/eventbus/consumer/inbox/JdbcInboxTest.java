package dev.eventbus.consumer.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.parking.ParkedEvent;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.Test;

class JdbcInboxTest {

    private final JdbcInbox inbox = JdbcInbox.h2(new JdbcDataSource());

    @Test
    void D_05_a_retention_under_fourteen_days_is_refused_with_the_promise_it_breaks() {
        assertThatThrownBy(() -> inbox.retention(Duration.ofDays(14).minusMillis(1)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("PT336H")
                .hasMessageContaining("P5");
        assertThatCode(() -> inbox.retention(Duration.ofDays(14))).doesNotThrowAnyException();
    }

    @Test
    void copies_of_an_inbox_share_who_runs_alone_and_others_do_not() {
        assertThat(List.of(
                        inbox.batching(5),
                        inbox.schema("ledger"),
                        inbox.idleLimit(Duration.ofSeconds(5)),
                        inbox.retention(Duration.ofDays(20))))
                .allSatisfy(copy -> assertThat(copy.attempts().alone())
                        .isSameAs(inbox.attempts().alone()));
        assertThat(JdbcInbox.h2(new JdbcDataSource()).attempts().alone())
                .isNotSameAs(inbox.attempts().alone());
    }

    @Test
    void an_error_of_the_users_transactions_is_what_the_inbox_cannot_do_whatever_it_is_asked_for() {
        Error down = new NoClassDefFoundError("a framework's");
        ParkingStore parking = JdbcInbox.h2(work -> {
                    throw down;
                })
                .parking();
        ConsumerRecord<byte[], byte[]> record = new ConsumerRecord<>("t", 0, 0, new byte[] {1}, new byte[] {2});
        assertThatThrownBy(() -> parking.load("g"))
                .isInstanceOf(SQLException.class)
                .hasCause(down);
        assertThatThrownBy(() -> parking.follow(Mark.of("g", "a1", record), ParkedEvent.following("a1", record)))
                .isInstanceOf(SQLException.class)
                .hasCause(down);
    }

    @Test
    void an_idle_limit_is_one_second_to_one_day() {
        assertThatThrownBy(() -> inbox.idleLimit(Duration.ofMillis(999))).hasMessageContaining("1 s to 1 day");
        assertThatThrownBy(() -> inbox.idleLimit(Duration.ofDays(2))).hasMessageContaining("1 s to 1 day");
        assertThatCode(() -> inbox.idleLimit(Duration.ofSeconds(5)).schema("ledger"))
                .doesNotThrowAnyException();
    }
}
