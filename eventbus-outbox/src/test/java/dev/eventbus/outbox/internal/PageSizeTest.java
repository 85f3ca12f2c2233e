package dev.eventbus.outbox.internal;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EncodedEvent;
import dev.eventbus.outbox.internal.PageSize.Page;
import dev.eventbus.outbox.sql.FetchWindow;
import dev.eventbus.outbox.sql.FetchWindow.Floor;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxStore.Fetched;
import dev.eventbus.outbox.sql.RowKey;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** When a page bounds its rows instead of adding them up, and that no row waits for that for long. */
class PageSizeTest {

    private static final long MEGABYTE = 1 << 20;

    private final PageSize size = new PageSize();

    private static List<Floor> floors(int... shards) {
        return IntStream.of(shards).mapToObj(shard -> new Floor(shard, 0)).toList();
    }

    private Page next(int rows, long bytes) {
        return size.next(false, floors(1, 2, 3), rows, bytes);
    }

    private void read(int... bytes) {
        read(Map.of(), Map.of(), bytes);
    }

    private void read(Map<Integer, Long> tooLarge, Map<Integer, Long> seenUpTo, int... bytes) {
        EncodedEvent event =
                new EncodedEvent("evt", "T", "topic", "key", null, "application/json", null, null, Map.of());
        List<OutboxRow> rows = IntStream.of(bytes)
                .mapToObj(each -> new OutboxRow(new RowKey(1, 1, "evt"), event, Instant.EPOCH, each, "", ""))
                .toList();
        size.read(new Fetched(
                rows, seenUpTo, 0, !tooLarge.isEmpty(), tooLarge, OptionalLong.empty(), OptionalLong.empty()));
    }

    @Test
    void before_the_first_row_nothing_is_known_of_sizes() {
        assertThat(next(1_500, 6 * MEGABYTE)).isEqualTo(new Page(1_500, 0));
        read();
        assertThat(next(1_500, 6 * MEGABYTE).mostRowBytes()).isZero();
    }

    @Test
    void small_rows_have_equal_parts_of_all_the_bytes() {
        read(400, 500, 300);
        assertThat(next(1_500, 6 * MEGABYTE)).isEqualTo(new Page(1_500, (int) (6 * MEGABYTE / 1_500)));
        read();
        assertThat(next(1_500, 6 * MEGABYTE).mostRowBytes())
                .as("a page without rows tells nothing")
                .isPositive();
        read(0);
        assertThat(next(100, MEGABYTE).mostRowBytes()).as("a tombstone").isPositive();
    }

    @Test
    void a_page_of_larger_rows_has_fewer_of_them_down_to_500_or_to_what_there_is_room_for() {
        read(5_000);
        assertThat(next(1_500, 6 * MEGABYTE).rows()).isBetween(600, 700);
        read(6_300);
        assertThat(next(1_500, 6 * MEGABYTE)).isEqualTo(new Page(1_500, 0));
        assertThat(next(50, 6 * MEGABYTE).rows()).isEqualTo(50);
        assertThat(next(50, 6 * MEGABYTE).mostRowBytes()).isGreaterThan(2 * 6_300);
        assertThat(next(50, 20_000)).isEqualTo(new Page(50, 0));
    }

    @Test
    void where_there_is_no_room_no_row_is_bounded() {
        read(100);
        assertThat(next(0, 6 * MEGABYTE)).isEqualTo(new Page(0, 0));
        assertThat(next(10, 0)).isEqualTo(new Page(10, 0));
        assertThat(next(10, 100)).isEqualTo(new Page(10, 0));
    }

    @Test
    void the_rows_of_a_page_that_bounds_them_never_have_more_bytes_than_there_is_room_for() {
        Random random = new Random(5);
        for (int i = 0; i < 10_000; i++) {
            int largest = random.nextInt(i % 2 == 0 ? 5_000 : Integer.MAX_VALUE);
            int rows = random.nextInt(2_000);
            long bytes = random.nextInt(8 << 20);
            read(largest);
            Page page = next(rows, bytes);
            assertThat(page.rows()).isBetween(0, rows);
            assertThat((long) page.rows() * page.mostRowBytes()).isLessThanOrEqualTo(bytes);
            assertThat(page.mostRowBytes()).matches(most -> most == 0 || most >= 2L * largest && most >= 512);
        }
    }

    @Test
    void after_a_row_that_was_too_large_none_of_its_shard_is_bounded_until_it_was_read() {
        read(100);
        read(Map.of(2, 40L), Map.of(1, FetchWindow.ALL), 100);
        assertThat(next(1_500, MEGABYTE)).isEqualTo(new Page(1_500, 0));
        assertThat(size.next(false, floors(1, 3), 1_500, MEGABYTE).mostRowBytes())
                .as("a page without its shard")
                .isPositive();
        read(Map.of(), Map.of(1, FetchWindow.ALL), 100);
        assertThat(next(1_500, MEGABYTE).mostRowBytes()).as("not reached").isZero();
        read(Map.of(), Map.of(1, FetchWindow.ALL, 2, 39L), 100);
        assertThat(next(1_500, MEGABYTE).mostRowBytes())
                .as("not reached, another came before it")
                .isZero();
        read(Map.of(), Map.of(2, 40L), 100);
        assertThat(next(1_500, MEGABYTE).mostRowBytes()).isPositive();
    }

    @Test
    void a_row_that_was_too_large_and_is_gone_is_not_waited_for() {
        read(100);
        read(Map.of(2, 40L, 3, 50L), Map.of(), 100);
        read(Map.of(), Map.of(2, FetchWindow.ALL, 3, FetchWindow.ALL));
        assertThat(next(1_500, MEGABYTE).mostRowBytes()).isPositive();
    }

    @Test
    void nor_is_one_of_a_shard_that_is_read_no_more() {
        read(100);
        read(Map.of(2, 40L, 3, 50L), Map.of(), 100);
        size.keepOnly(Set.of(1, 3));
        assertThat(size.leavesSome()).isTrue();
        size.keepOnly(Set.of(1));
        assertThat(size.leavesSome()).isFalse();
    }

    @Test
    void on_a_new_connection_nothing_counts_that_was_read_before() {
        read(100);
        read(Map.of(2, 40L), Map.of(), 100);
        assertThat(size.next(true, floors(1, 2, 3), 1_500, MEGABYTE)).isEqualTo(new Page(1_500, 0));
        read(100);
        assertThat(next(1_500, MEGABYTE).mostRowBytes()).isPositive();
    }
}
