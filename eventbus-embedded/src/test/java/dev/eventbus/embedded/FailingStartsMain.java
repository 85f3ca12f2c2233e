package dev.eventbus.embedded;

import java.io.UncheckedIOException;
import org.assertj.core.api.Assertions;

/** Runs in a child JVM: servers whose settings cannot be written do not come up. */
final class FailingStartsMain {

    /** Half a character, which no file can hold. */
    private static final String UNWRITABLE = "\ud800";

    private FailingStartsMain() {}

    public static void main(String[] args) {
        Assertions.assertThatThrownBy(EmbeddedKafka.builder().property("some.setting", UNWRITABLE)::start)
                .isInstanceOf(UncheckedIOException.class);
        Assertions.assertThatThrownBy(EmbeddedPostgres.builder().setting("some_setting", UNWRITABLE)::start)
                .isInstanceOf(UncheckedIOException.class);
        System.out.println("both failed");
    }
}
