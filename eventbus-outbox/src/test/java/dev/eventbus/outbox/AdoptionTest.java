package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.StartRefusedException;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import javax.sql.DataSource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What the person hears who adopts the new partitions of a topic. */
class AdoptionTest {

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final OutboxRelay relay =
            OutboxRelay.builder(database.outbox, database.dataSource, kafka).build();

    @AfterEach
    void close() {
        relay.close(Duration.ofSeconds(2));
    }

    private void useAndGrow() {
        database.publish(event("evt-1", "bob"));
        relay.runOnce();
        kafka.partitions.put("asset.events", 6);
    }

    private int adopt(DataSource dataSource, String... groups) throws SQLException {
        return OutboxAdmin.of(database.outbox, dataSource)
                .adoptPartitions(kafka, "asset.events", Duration.ZERO, groups);
    }

    private List<String> recorded() {
        return database.strings("SELECT \"value\" FROM \"eventbus_meta\" WHERE name LIKE 'partitions.%'");
    }

    @Test
    void a_topic_that_relays_do_not_settle_goes_on_as_before() {
        useAndGrow();
        assertThatThrownBy(() -> adopt(database.dataSource))
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("relays have not settled")
                .hasMessageContaining("goes on as before");
        assertThat(recorded()).containsExactly("3");
    }

    @Test
    void a_refusal_that_the_database_does_not_let_take_back_is_a_failure_of_the_database() {
        useAndGrow();
        DataSource goneAtTheEnd =
                new FailingDatabase(database.dataSource).lends(2).dataSource();
        assertThatThrownBy(() -> adopt(goneAtTheEnd))
                .isInstanceOf(SQLException.class)
                .hasMessage("the database is gone")
                .satisfies(gone ->
                        assertThat(gone.getSuppressed()).singleElement().isInstanceOf(StartRefusedException.class));
        assertThat(recorded()).singleElement().asString().startsWith("3>6 ");
    }

    @Test
    void a_database_that_goes_meanwhile_leaves_its_first_word_and_the_mark() {
        useAndGrow();
        DataSource goneAfterTheMark =
                new FailingDatabase(database.dataSource).lends(1).dataSource();
        assertThatThrownBy(() -> adopt(goneAfterTheMark))
                .isInstanceOf(SQLException.class)
                .satisfies(
                        gone -> assertThat(gone.getSuppressed()).singleElement().isInstanceOf(SQLException.class));
        assertThat(recorded()).singleElement().asString().startsWith("3>6 ");
    }

    @Test
    void a_topic_of_which_nothing_is_recorded_is_refused_by_name() {
        assertThatThrownBy(() -> adopt(database.dataSource))
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("topic asset.events of cluster 'kafka-events'")
                .hasMessageContaining("nothing is recorded for it");
        assertThat(recorded()).isEmpty();
    }

    @Test
    void a_group_may_be_named_twice_but_not_be_blank() throws SQLException {
        database.publish(event("evt-1", "bob"));
        relay.runOnce();
        assertThat(adopt(database.dataSource, "calculator", "calculator")).isEqualTo(3);
        assertThatThrownBy(() -> adopt(database.dataSource, "calculator", " "))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("group must not be blank");
    }
}
