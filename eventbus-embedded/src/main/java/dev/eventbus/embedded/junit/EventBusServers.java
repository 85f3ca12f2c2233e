package dev.eventbus.embedded.junit;

import dev.eventbus.embedded.ServersExtension;
import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Inherited;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Gives a test class its broker and its database.
 *
 * <pre>{@code
 * @EventBusServers
 * class OrdersIT {
 *     @Test
 *     void arrives(KafkaServer kafka, DataSource database) {
 *         KafkaCluster cluster = KafkaCluster.at(kafka.bootstrapServers());
 *         ...
 *     }
 * }
 * }</pre>
 *
 * <p>Parameters of tests, of life-cycle methods and of the constructor: {@link dev.eventbus.embedded.KafkaServer}, {@link
 * javax.sql.DataSource} (an empty PostgreSQL database of the class's own), {@link dev.eventbus.embedded.PostgresServer}. The servers
 * start when the first test asks, without Docker, serve all test classes of the JVM, and end after the last test; where else they
 * may be: {@link ServersExtension}. One that does not come up fails the tests that ask for it. Needs JUnit Jupiter 5.9 or newer, or 6, which this
 * artifact does not bring along.
 */
@Target(ElementType.TYPE)
@Retention(RetentionPolicy.RUNTIME)
@Inherited
@Documented
@ExtendWith(ServersExtension.class)
public @interface EventBusServers {}
