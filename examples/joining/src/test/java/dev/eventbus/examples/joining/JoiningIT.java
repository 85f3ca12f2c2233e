package dev.eventbus.examples.joining;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.ErrorCode;
import dev.eventbus.EventPublisher;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.examples.joining.Assets.AssetUpdated;
import dev.eventbus.examples.joining.Recipe.Service;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.Outbox;
import jakarta.persistence.EntityManagerFactory;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.hibernate.Session;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/** What holds for every recipe, on a real PostgreSQL. */
@ExtendWith(ServersExtension.class)
class JoiningIT {

    /** Keys and amounts that the events in the outbox tell, in publish order. */
    private static final String TOLD = """
            SELECT aggregateid || '=' || (convert_from(payload, 'UTF8')::json ->> 'amount') FROM eventbus_outbox ORDER BY seq""";

    private static final String STATE = "SELECT user_id || '=' || amount FROM asset ORDER BY user_id";
    private static final String WAITING = """
            SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'""";

    private final JdbcOutbox outbox = JdbcOutbox.postgres();
    private final HikariDataSource database = new HikariDataSource();
    private final ExecutorService threads = Executors.newFixedThreadPool(2);

    JoiningIT(PostgresServer postgres) {
        database.setJdbcUrl(postgres.createDatabase(postgres.uniqueName("joining")));
        database.setUsername(postgres.user());
        database.setPassword(postgres.password());
        database.setMinimumIdle(0);
    }

    @BeforeEach
    void createTables() throws SQLException {
        outbox.createTables(database);
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE asset (user_id varchar(40) PRIMARY KEY, amount bigint NOT NULL)");
            statement.execute("INSERT INTO asset VALUES ('alice', 0), ('bob', 0), ('carol', 0)");
            statement.execute(
                    "CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, user_id varchar(40), amount bigint)");
        }
    }

    @AfterEach
    void close() {
        threads.shutdownNow();
        database.close();
    }

    @ParameterizedTest
    @EnumSource
    void a_change_and_its_event_commit_together_and_then_the_relay_is_told(Recipe recipe) throws Exception {
        List<List<String>> seenAtCommit = new ArrayList<>();
        Outbox watched = new WatchedOutbox(
                outbox, payload -> assertThat(rows(TOLD)).isEmpty(), () -> seenAtCommit.add(rows(TOLD)));
        try (Service service = recipe.over(database, watched)) {
            service.assets().set("alice", 7);
        }
        assertThat(rows(STATE)).contains("alice=7");
        assertThat(rows(TOLD)).containsExactly("alice=7");
        assertThat(seenAtCommit).containsExactly(List.of("alice=7"));
    }

    @ParameterizedTest
    @EnumSource
    void a_change_that_fails_after_publishing_leaves_no_event(Recipe recipe) {
        List<String> commits = new ArrayList<>();
        Outbox watched = new WatchedOutbox(outbox, failingFor("alice"), () -> commits.add("told"));
        try (Service service = recipe.over(database, watched)) {
            assertThatThrownBy(() -> service.assets().set("alice", 7)).hasStackTraceContaining("after publishing");
        }
        assertThat(rows(STATE)).contains("alice=0");
        assertThat(rows(TOLD)).isEmpty();
        assertThat(commits).isEmpty();
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "JPA")
    void a_savepoint_that_is_rolled_back_takes_its_event_along(Recipe recipe) throws Exception {
        Map<String, Long> amounts = new LinkedHashMap<>();
        amounts.put("alice", 1L);
        amounts.put("bob", 2L);
        amounts.put("carol", 3L);
        try (Service service = recipe.over(database, new WatchedOutbox(outbox, failingFor("bob"), () -> {}))) {
            assertThat(service.batch().setAll(amounts)).containsOnlyKeys("bob");
        }
        assertThat(rows(STATE)).containsExactly("alice=1", "bob=0", "carol=3");
        assertThat(rows(TOLD)).containsExactly("alice=1", "carol=3");
    }

    @ParameterizedTest
    @EnumSource
    void the_last_event_tells_the_state_since_a_second_change_waits_for_the_first(Recipe recipe) throws Exception {
        changeWhileAnotherDoes(recipe, 2);
        assertThat(rows(TOLD)).containsExactly("alice=1", "alice=2");
        assertThat(rows(STATE)).contains("alice=2");
    }

    /** Zero is what is there before: who only compares finds nothing to write, and so nothing to wait for. */
    @ParameterizedTest
    @EnumSource
    void a_change_to_what_seems_to_be_there_already_waits_for_the_first_too(Recipe recipe) throws Exception {
        changeWhileAnotherDoes(recipe, 0);
        assertThat(rows(TOLD)).containsExactly("alice=1", "alice=0");
        assertThat(rows(STATE)).as("what the last event tells").contains("alice=0");
    }

    /** Sets an amount while a transaction that has set another is between its publish and its commit. */
    private void changeWhileAnotherDoes(Recipe recipe, long amount) throws Exception {
        Overlap overlap = new Overlap();
        try (Service service = recipe.over(database, new WatchedOutbox(outbox, overlap, () -> {}))) {
            Future<?> first = inThread(() -> service.assets().set("alice", Overlap.FIRST));
            overlap.awaitFirst();
            Future<?> second = inThread(() -> service.assets().set("alice", amount));
            eventually(() -> second.isDone() || rows(WAITING).size() == 1);
            assertThat(second).as("it waits").isNotDone();
            overlap.letFirstCommit();
            first.get();
            second.get();
        }
    }

    @Test
    void without_the_flush_before_publish_jpa_breaks_the_order_of_events() throws Exception {
        Overlap overlap = new Overlap();
        Outbox watched = new WatchedOutbox(outbox, overlap, () -> {});
        try (EntityManagerFactory factory = Recipe.hibernate(database)) {
            Future<?> first = inThread(() -> setWithoutFlush(factory, watched, "alice", Overlap.FIRST));
            overlap.awaitFirst();
            setWithoutFlush(factory, watched, "alice", 2); // nothing holds it up
            overlap.letFirstCommit();
            first.get();
        }
        assertThat(rows(STATE)).as("the first change committed last").contains("alice=1");
        assertThat(rows(TOLD)).as("the last event tells another state").containsExactly("alice=1", "alice=2");
    }

    private static void setWithoutFlush(EntityManagerFactory factory, Outbox outbox, String user, long amount) {
        factory.runInTransaction(entities -> {
            entities.find(JpaAssets.Asset.class, user).amount = amount;
            outbox.joining(work -> entities.unwrap(Session.class).doWork(work::accept))
                    .publish(Assets.ASSET_UPDATED, new AssetUpdated(user, amount));
        });
    }

    @Test
    void spring_publishes_nothing_outside_a_transaction() {
        try (AnnotationConfigApplicationContext spring = Recipe.spring(database, outbox)) {
            EventPublisher events = spring.getBean(EventPublisher.class);
            assertThatThrownBy(() -> events.publish(Assets.ASSET_UPDATED, new AssetUpdated("alice", 1L)))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("not active");
        }
        assertThat(rows(TOLD)).isEmpty();
    }

    @Test
    void a_ledger_without_rows_to_hold_keeps_its_order_by_locked_keys() throws Exception {
        Overlap overlap = new Overlap();
        JdbcLedger ledger = new JdbcLedger(database, new WatchedOutbox(outbox, overlap, () -> {}));
        Future<?> first = inThread(() -> ledger.transfer("alice", "bob", Overlap.FIRST));
        overlap.awaitFirst();
        Future<?> second = inThread(() -> ledger.transfer("bob", "alice", 2));
        eventually(() -> rows(WAITING).size() == 1);
        overlap.letFirstCommit();
        first.get();
        second.get();
        assertThat(rows(TOLD)).containsExactly("alice=-1", "bob=1", "bob=-2", "alice=2");
    }

    @Test
    void a_trace_is_published_as_it_is_given() throws Exception {
        String traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        try (Connection tx = database.getConnection()) {
            tx.setAutoCommit(false);
            AssetUpdated change = new AssetUpdated("alice", 1L);
            new TracedAssets(() -> Instant.EPOCH).publish(outbox.within(tx), change, traceparent);
            tx.commit();
        }
        assertThat(rows("SELECT traceparent || ' ' || headers FROM eventbus_outbox"))
                .containsExactly(traceparent + " {\"tenant\":\"eu\"}");
    }

    private static Consumer<Object> failingFor(String user) {
        return payload -> {
            if (((AssetUpdated) payload).userId().equals(user)) {
                throw new PublishRefusedException(ErrorCode.EVENT_INVALID, "ASSET_UPDATED", "after publishing");
            }
        };
    }

    /** Holds the transaction that publishes first between its publish and its commit. */
    private static final class Overlap implements Consumer<Object> {

        static final long FIRST = 1;

        private final CountDownLatch published = new CountDownLatch(1);
        private final CountDownLatch commit = new CountDownLatch(1);

        @Override
        public void accept(Object payload) {
            if (published.getCount() == 1) {
                published.countDown();
                await(commit);
            }
        }

        void awaitFirst() {
            await(published);
        }

        void letFirstCommit() {
            commit.countDown();
        }

        private static void await(CountDownLatch latch) {
            try {
                assertThat(latch.await(60, TimeUnit.SECONDS)).isTrue();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private interface Change {
        void run() throws Exception;
    }

    private Future<?> inThread(Change change) {
        return threads.submit(() -> {
            change.run();
            return null;
        });
    }

    private List<String> rows(String query) {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(query)) {
            List<String> rows = new ArrayList<>();
            while (row.next()) {
                rows.add(row.getString(1));
            }
            return rows;
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void eventually(BooleanSupplier condition) {
        long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).isLessThan(deadline);
            LockSupport.parkNanos(Duration.ofMillis(5).toNanos());
        }
    }
}
