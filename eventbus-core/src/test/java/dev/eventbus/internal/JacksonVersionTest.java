package dev.eventbus.internal;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.core.Version;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JacksonVersionTest {

    private static final Version TAKEN = version(22, "jackson-core");

    private static Version version(int minor, String artifact) {
        return new Version(2, minor, 9, null, "com.fasterxml.jackson.core", artifact);
    }

    @ParameterizedTest
    @ValueSource(ints = {12, 17, 18, 20})
    void one_that_is_too_old_is_refused_with_the_property_to_set(int minor) {
        for (String artifact : new String[] {"jackson-core", "jackson-databind"}) {
            assertThatThrownBy(() -> JacksonVersion.check(TAKEN, version(minor, artifact)))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("%s 2.%d.9 on the class path is too old".formatted(artifact, minor))
                    .hasMessageContaining("jackson-bom.version");
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {21, 22, 30})
    void one_that_keeps_values_is_taken(int minor) {
        assertThatCode(() -> JacksonVersion.check(TAKEN, version(minor, "jackson-databind")))
                .doesNotThrowAnyException();
    }

    @Test
    void the_one_this_library_is_built_with_and_one_without_a_number_are_taken() {
        assertThatCode(JacksonVersion::check).doesNotThrowAnyException();
        assertThatCode(() -> JacksonVersion.check(Version.unknownVersion())).doesNotThrowAnyException();
    }
}
