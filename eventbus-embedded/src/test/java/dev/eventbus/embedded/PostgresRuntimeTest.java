package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.apache.commons.compress.archivers.tar.TarConstants;
import org.apache.commons.compress.compressors.xz.XZCompressorOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PostgresRuntimeTest {

    private static final int ALL_MAY_RUN = 0100755;

    @TempDir
    private Path folder;

    @Test
    void each_machine_has_its_archive() {
        assertThat(PostgresRuntime.archive("Linux", "amd64")).isEqualTo("postgres-linux-x86_64.txz");
        assertThat(PostgresRuntime.archive("Linux", "aarch64")).isEqualTo("postgres-linux-arm_64.txz");
        assertThat(PostgresRuntime.archive("Mac OS X", "aarch64")).isEqualTo("postgres-darwin-arm_64.txz");
        assertThat(PostgresRuntime.archive("Mac OS X", "x86_64")).isEqualTo("postgres-darwin-x86_64.txz");
        assertThatThrownBy(() -> PostgresRuntime.archive("Windows 11", "amd64"))
                .isInstanceOf(EmbeddedServerException.class)
                .hasMessageContaining("Windows 11")
                .hasMessageContaining("eventbus.servers=external");
    }

    @Test
    void unpacks_programs_and_links() throws IOException {
        TarArchiveEntry link = new TarArchiveEntry("lib/libpq.so", TarConstants.LF_SYMLINK);
        link.setLinkName("libpq.so.5");

        PostgresRuntime.unpack(archive(new TarArchiveEntry("bin/"), program("bin/postgres"), link), folder);

        assertThat(folder.resolve("bin/postgres")).isExecutable().hasContent("run");
        assertThat(Files.readSymbolicLink(folder.resolve("lib/libpq.so"))).hasToString("libpq.so.5");
    }

    @Test
    void nothing_is_unpacked_outside_its_folder() throws IOException {
        ByteArrayInputStream hostile = archive(program("../outside"));

        assertThatThrownBy(() -> PostgresRuntime.unpack(hostile, folder))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("../outside");
        assertThat(folder).isEmptyDirectory();
    }

    private static TarArchiveEntry program(String name) {
        TarArchiveEntry program = new TarArchiveEntry(name);
        program.setMode(ALL_MAY_RUN);
        program.setSize("run".length());
        return program;
    }

    private static ByteArrayInputStream archive(TarArchiveEntry... entries) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (var tar = new TarArchiveOutputStream(new XZCompressorOutputStream(bytes))) {
            for (TarArchiveEntry entry : entries) {
                tar.putArchiveEntry(entry);
                if (entry.getSize() > 0) {
                    tar.write("run".getBytes(StandardCharsets.UTF_8));
                }
                tar.closeArchiveEntry();
            }
        }
        return new ByteArrayInputStream(bytes.toByteArray());
    }
}
