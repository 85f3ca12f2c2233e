package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FreePortsTest {

    @Test
    void finds_different_ports_that_no_outgoing_connection_is_given() {
        List<Integer> ports = FreePorts.find(50);

        assertThat(ports)
                .hasSize(50)
                .doesNotHaveDuplicates()
                .allSatisfy(port -> assertThat(port).isBetween(20_000, 32_000));
    }

    @Test
    void a_port_is_free_only_if_it_is_where_servers_listen_whatever_a_jvm_prefers(@TempDir Path temporary)
            throws Exception {
        Process jvm = OwnJvm.start(temporary, FreePortMain.class, "-Djava.net.preferIPv6Addresses=true");

        assertThat(jvm.inputReader().lines()).containsExactly("taken");
        assertThat(jvm.waitFor()).isZero();
    }
}
