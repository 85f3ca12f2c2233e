package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class FreePortsTest {

    @Test
    void finds_different_ports_that_no_outgoing_connection_is_given() {
        List<Integer> ports = FreePorts.find(50);

        assertThat(ports)
                .hasSize(50)
                .doesNotHaveDuplicates()
                .allSatisfy(port -> assertThat(port).isBetween(20_000, 32_000));
    }
}
