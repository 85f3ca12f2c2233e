package dev.eventbus.outbox.sql;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EncodedEvent;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Up to where a fetch has seen everything: a floor must not rise above a row that it had no room for. */
class FetchWindowTest {

    private static final List<FetchWindow.Floor> FLOORS = IntStream.range(0, 3)
            .mapToObj(shard -> new FetchWindow.Floor(shard, 10))
            .toList();

    private static FetchWindow window(int rowsPerShard, int rows, long bytes) {
        return new FetchWindow(FLOORS, List.of(), List.of(), rowsPerShard, rows, bytes);
    }

    private static OutboxRow row(int shard, long seq) {
        EncodedEvent event = new EncodedEvent(
                "evt-" + seq, "T", "topic", "key", new byte[100], "application/json", null, null, Map.of());
        return new OutboxRow(new RowKey(shard, seq, event.id()), event, Instant.EPOCH, 100, "", "");
    }

    @Test
    void a_fetch_that_was_not_cut_has_seen_all() {
        assertThat(window(5, 10, 10_000).seenUpTo(List.of(row(0, 11), row(2, 12))))
                .containsOnlyKeys(0, 1, 2)
                .allSatisfy((shard, seq) -> assertThat(seq).isEqualTo(FetchWindow.ALL));
    }

    @Test
    void a_shard_that_was_cut_is_seen_up_to_its_last_row_and_those_behind_the_page_not_at_all() {
        assertThat(window(2, 3, 10_000).seenUpTo(List.of(row(0, 11), row(0, 13), row(1, 12))))
                .isEqualTo(Map.of(0, 13L, 1, 12L));
    }

    @Test
    void a_fetch_that_had_room_for_no_bytes_or_no_row_has_seen_nothing() {
        assertThat(window(5, 10, 0).seenUpTo(List.of())).isEmpty();
        assertThat(window(5, 0, 10_000).seenUpTo(List.of())).isEmpty();
    }
}
