package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.redrive.Redrive;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Two groups that read one topic and have one database: what one parks, redrives or gives up is no matter of the other. */
class ParkedGroupsTest extends RedriveStage {

    private static final String OTHER = "ledger2"; // a name that begins as the other's

    /** Fails where it is told {@code group/user/n}. */
    private void reads(String group) {
        bus.start(ConsumerRunner.builder(bus.kafka(), group)
                .inTransaction(inbox, BOOKING, (event, tx) -> {
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO booked (owner, n) VALUES (?, ?)")) {
                        insert.setString(1, group + "/" + event.payload().user());
                        insert.setInt(2, event.payload().n());
                        insert.executeUpdate();
                    }
                    if (failing.contains(group + "/" + event.payload().user()
                            + event.payload().n())) {
                        throw new IllegalStateException("no luck");
                    }
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.parkKey(inbox, "dlq"))
                .build());
    }

    private Redrive of(String group) {
        return Redrive.of(bus.kafka(), group, "dlq", inbox);
    }

    @Test
    void a_key_that_one_group_parks_is_handled_by_the_other_and_each_redrives_and_discards_its_own()
            throws SQLException {
        reads(GROUP);
        reads(OTHER);
        failing.addAll(List.of(GROUP + "/bob1", OTHER + "/bob2", OTHER + "/ann1"));
        publish("bob", 1, 2, 3);
        publish("ann", 1, 2);
        bus.runUntilIdle();
        assertThat(booked(GROUP + "/bob")).isEmpty();
        assertThat(booked(OTHER + "/bob")).containsExactly(1);
        assertThat(booked(GROUP + "/ann")).containsExactly(1, 2);
        assertThat(inbox.parking().load(GROUP)).hasSize(1);
        assertThat(inbox.parking().load(OTHER)).hasSize(2);

        assertThat(of(GROUP).key("bob").plan().discard("of one group").discarded())
                .isEqualTo(3);
        assertThat(inbox.parking().load(OTHER)).hasSize(2);
        failing.clear();
        assertThat(of(OTHER).plan().run("mended").handedOver()).isEqualTo(4);
        publish("bob", 4);
        bus.runUntilIdle();
        assertThat(booked(GROUP + "/bob")).containsExactly(4);
        assertThat(booked(OTHER + "/bob")).containsExactly(1, 2, 3, 4);
        assertThat(booked(OTHER + "/ann")).containsExactly(1, 2);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
        assertThat(inbox.parking().load(OTHER)).isEmpty();
        assertThat(inbox.parking().redrive(OTHER, "bookings", "bob".getBytes(UTF_8)))
                .isFalse();
    }
}
