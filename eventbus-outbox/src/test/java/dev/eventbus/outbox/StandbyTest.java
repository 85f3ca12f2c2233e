package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.StartRefusedException;
import dev.eventbus.outbox.sql.H2OutboxSql;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;

/** A database that only follows another, as after a fail-over: nothing can be deleted there, so nothing may be sent from it. */
class StandbyTest {

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();

    /** The database, which says of itself that it is a standby. */
    private DataSource standby(Connection real) {
        String whereAmI = new H2OutboxSql(database.outbox.names()).admin().whereAmI();
        return OneConnection.of((Connection) Proxy.newProxyInstance(
                Connection.class.getClassLoader(), new Class<?>[] {Connection.class}, (proxy, method, arguments) -> {
                    Object[] asked = arguments;
                    if (asked != null && whereAmI.equals(asked[0])) {
                        asked = new Object[] {whereAmI.replace("FALSE", "TRUE")};
                    }
                    try {
                        return method.invoke(real, asked);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                }));
    }

    @Test
    void a_relay_refuses_to_run_on_it() throws SQLException {
        database.publish(event("evt-1", "bob"));
        try (Connection real = database.dataSource.getConnection();
                OutboxRelay relay = OutboxRelay.builder(database.outbox, standby(real), kafka)
                        .build()) {
            assertThatThrownBy(relay::runOnce)
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("is a standby")
                    .hasMessageContaining("Connect to the primary");
            assertThat(relay.health().up()).isFalse();
            assertThat(relay.health().problems()).singleElement().asString().contains("is a standby");
        }
        assertThat(kafka.ids()).isEmpty();
        assertThat(database.strings("SELECT owner FROM \"eventbus_relay_member\""))
                .isEmpty();
    }

    @Test
    void a_publisher_that_verifies_is_refused() throws SQLException {
        try (Connection real = database.dataSource.getConnection();
                Connection standby = standby(real).getConnection()) {
            assertThatThrownBy(() -> database.outbox.verify(standby))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("is a standby");
        }
    }
}
