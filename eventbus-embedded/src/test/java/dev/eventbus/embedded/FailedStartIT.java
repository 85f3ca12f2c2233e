package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FailedStartIT {

    private static final Pattern KEPT = Pattern.compile("Its log is kept at ((\\S+)/logs/\\S+):");

    @Test
    void a_kafka_that_does_not_come_up_tells_why_and_keeps_its_log() throws Exception {
        EmbeddedKafka.Builder builder = EmbeddedKafka.builder().property("log.retention.hours", "many");

        assertTells(builder::start, "Kafka node-1 ended with exit code 1", "Invalid value many for configuration");
    }

    @Test
    void a_postgres_that_does_not_come_up_tells_why_and_keeps_its_log() throws Exception {
        EmbeddedPostgres.Builder builder = EmbeddedPostgres.builder().setting("shared_buffers", "lots");

        assertTells(builder::start, "PostgreSQL ended with exit code 1", "invalid value for parameter");
    }

    @Test
    void a_server_whose_settings_cannot_be_written_leaves_no_folder(@TempDir Path temporary) throws Exception {
        Process jvm = OwnJvm.start(temporary, FailingStartsMain.class);

        assertThat(jvm.inputReader().lines()).endsWith("both failed");
        assertThat(jvm.waitFor()).isZero();
        assertThat(temporary)
                .isDirectoryNotContaining(path -> path.getFileName().toString().startsWith("eventbus-"));
    }

    private static void assertTells(ThrowingCallable start, String what, String why) throws Exception {
        EmbeddedServerException failure = catchThrowableOfType(EmbeddedServerException.class, start);
        assertThat(failure).hasMessageContaining(what).hasMessageContaining(why);
        Matcher kept = KEPT.matcher(failure.getMessage());
        assertThat(kept.find()).isTrue();
        Path log = Path.of(kept.group(1));
        Path work = Path.of(kept.group(2));
        assertThat(Files.readString(log)).contains(why);
        assertThat(work.resolve("data")).doesNotExist();
        WorkFolder.deleteTree(work);
    }
}
