package dev.eventbus.examples.joining;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import jakarta.persistence.EntityManager;
import jakarta.persistence.EntityManagerFactory;
import java.io.IOException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiFunction;
import javax.sql.DataSource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.jdbc.support.JdbcTransactionManager;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.SharedEntityManagerCreator;
import org.springframework.orm.jpa.vendor.HibernateJpaDialect;
import org.springframework.transaction.support.TransactionTemplate;

/** What holds for every recipe of an inbox in the transactions of a framework, on a real PostgreSQL. */
@ExtendWith(ServersExtension.class)
class HandlingIT {

    /** Sets an amount, as a handler would. */
    private interface Effect {
        void set(String user, long amount);
    }

    /** A recipe that is ready for use. */
    private record Service(JdbcInbox inbox, Effect effect, Runnable rollBackOnly, Runnable end)
            implements AutoCloseable {
        @Override
        public void close() {
            end.run();
        }
    }

    /** Every recipe, set up as its framework wants it. */
    enum Handling {
        SPRING_JDBC((dataSource, factory) -> {
            JdbcTransactionManager transactions = new JdbcTransactionManager(dataSource);
            JdbcTemplate jdbc = new JdbcTemplate(dataSource);
            return new Service(
                    new SpringInbox().inbox(transactions, jdbc),
                    (user, amount) -> jdbc.update("UPDATE asset SET amount = ? WHERE user_id = ?", amount, user),
                    () -> new TransactionTemplate(transactions)
                            .executeWithoutResult(joined -> joined.setRollbackOnly()),
                    () -> {});
        }),
        SPRING_JPA((dataSource, factory) -> {
            JpaTransactionManager transactions = new JpaTransactionManager(factory);
            transactions.setDataSource(dataSource);
            transactions.setJpaDialect(new HibernateJpaDialect());
            transactions.afterPropertiesSet();
            EntityManager entities = SharedEntityManagerCreator.createSharedEntityManager(factory);
            return new Service(
                    new SpringInbox().inbox(transactions, new JdbcTemplate(dataSource)),
                    (user, amount) -> entities.find(JpaAssets.Asset.class, user).amount = amount,
                    () -> new TransactionTemplate(transactions)
                            .executeWithoutResult(joined -> joined.setRollbackOnly()),
                    () -> {});
        }),
        JPA((dataSource, factory) -> {
            JpaInbox jpa = new JpaInbox(factory);
            return new Service(
                    jpa.inbox(),
                    (user, amount) -> jpa.entities().find(JpaAssets.Asset.class, user).amount = amount,
                    () -> jpa.entities().getTransaction().setRollbackOnly(),
                    () -> {});
        });

        private final BiFunction<DataSource, EntityManagerFactory, Service> setUp;

        Handling(BiFunction<DataSource, EntityManagerFactory, Service> setUp) {
            this.setUp = setUp;
        }
    }

    private final HikariDataSource database = new HikariDataSource();

    HandlingIT(PostgresServer postgres) {
        database.setJdbcUrl(postgres.createDatabase(postgres.uniqueName("handling")));
        database.setUsername(postgres.user());
        database.setPassword(postgres.password());
        database.setMinimumIdle(0);
    }

    @BeforeEach
    void createTables() throws SQLException {
        JdbcInbox.createTables(database);
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute(
                    "CREATE TABLE asset (user_id varchar(40) PRIMARY KEY, amount bigint NOT NULL CHECK (amount < 1000))");
            statement.execute("INSERT INTO asset VALUES ('alice', 0)");
        }
    }

    @AfterEach
    void close() {
        database.close();
    }

    @ParameterizedTest
    @EnumSource
    void an_effect_through_the_framework_and_the_mark_commit_together_and_once(Handling handling) throws Exception {
        try (Service service = open(handling)) {
            service.inbox().verify();
            assertThat(service.inbox().run(mark(), tx -> service.effect().set("alice", 7)))
                    .isEqualTo(new MarkResult.Decided());
            assertThat(service.inbox().run(mark(), tx -> service.effect().set("alice", 8)))
                    .isEqualTo(new MarkResult.Known(Outcome.DONE));
        }
        assertThat(rows("SELECT amount FROM asset")).containsExactly("7");
        assertThat(rows("SELECT outcome FROM eventbus_inbox")).containsExactly("DONE");
    }

    @ParameterizedTest
    @EnumSource
    void they_roll_back_together_when_the_handler_fails(Handling handling) throws Exception {
        try (Service service = open(handling)) {
            IOException thrown = new IOException("no");
            assertThatThrownBy(() -> service.inbox().run(mark(), tx -> {
                        service.effect().set("alice", 7);
                        throw thrown;
                    }))
                    .isSameAs(thrown);
            assertNothingHappened();
            assertThat(service.inbox().run(mark(), tx -> service.effect().set("alice", 9)))
                    .isEqualTo(new MarkResult.Decided());
        }
        assertThat(rows("SELECT amount FROM asset")).containsExactly("9");
    }

    /** JPA writes at the commit, when the handler has long returned. */
    @ParameterizedTest
    @EnumSource
    void they_roll_back_together_when_the_database_refuses_what_is_written_late(Handling handling) throws Exception {
        try (Service service = open(handling)) {
            assertThatThrownBy(() ->
                            service.inbox().run(mark(), tx -> service.effect().set("alice", 1_000)))
                    .isNotNull();
            assertNothingHappened();
        }
    }

    @ParameterizedTest
    @EnumSource
    void a_handler_whose_transaction_is_marked_for_roll_back_has_not_handled_its_event(Handling handling)
            throws Exception {
        try (Service service = open(handling)) {
            assertThatThrownBy(() -> service.inbox().run(mark(), tx -> {
                        service.effect().set("alice", 7);
                        service.rollBackOnly().run();
                    }))
                    .isNotNull();
            assertNothingHappened();
        }
    }

    private Service open(Handling handling) {
        EntityManagerFactory factory = Recipe.hibernate(database);
        Service service = handling.setUp.apply(database, factory);
        return new Service(service.inbox(), service.effect(), service.rollBackOnly(), factory::close);
    }

    private void assertNothingHappened() {
        assertThat(rows("SELECT amount FROM asset")).containsExactly("0");
        assertThat(rows("SELECT outcome FROM eventbus_inbox")).isEmpty();
    }

    private static Mark mark() {
        return new Mark("ledger", "evt-1", new byte[] {1}, "asset.events", 0, 7);
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
}
