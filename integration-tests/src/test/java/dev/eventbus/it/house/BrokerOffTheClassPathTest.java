package dev.eventbus.it.house;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.embedded.EmbeddedKafka;
import org.junit.jupiter.api.Test;

/** Who depends on eventbus-embedded gets a broker, but none of its classes. */
class BrokerOffTheClassPathTest {

    @Test
    void the_embedded_broker_puts_no_broker_class_on_its_users_class_path() {
        assertThat(EmbeddedKafka.class.getClassLoader().getResource("META-INF/eventbus/broker"))
                .isNotNull();
        assertThatThrownBy(() -> Class.forName("kafka.Kafka")).isInstanceOf(ClassNotFoundException.class);
        assertThatThrownBy(() -> Class.forName("org.apache.kafka.tools.StorageTool"))
                .isInstanceOf(ClassNotFoundException.class);
        assertThatThrownBy(() -> Class.forName("scala.Option")).isInstanceOf(ClassNotFoundException.class);
    }
}
