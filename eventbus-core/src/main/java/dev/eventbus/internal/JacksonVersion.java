package dev.eventbus.internal;

import com.fasterxml.jackson.core.Version;
import com.fasterxml.jackson.core.json.PackageVersion;
import java.util.stream.Stream;

/**
 * Which Jackson may be used. Before 2.21 it cannot copy a value as it is (a half surrogate pair became another character), and older
 * ones lack limits that reading needs.
 */
public final class JacksonVersion {

    private JacksonVersion() {}

    /**
     * Checks what is on the class path. A version that is unknown is let through.
     *
     * @throws IllegalStateException if it is too old
     */
    public static void check() {
        check(PackageVersion.VERSION, com.fasterxml.jackson.databind.cfg.PackageVersion.VERSION);
    }

    static void check(Version... found) {
        Stream.of(found)
                .filter(version -> !version.isUnknownVersion() && isTooOld(version))
                .findFirst()
                .ifPresent(version -> {
                    throw new IllegalStateException(
                            "%s %s on the class path is too old to write and read payloads as they are; nothing was declared, published or read. Set the Maven property jackson-bom.version (Spring Boot 3; jackson-2-bom.version in Spring Boot 4) to 2.21.0 or later, or import com.fasterxml.jackson:jackson-bom of such a version before any other BOM"
                                    .formatted(version.getArtifactId(), version));
                });
    }

    private static boolean isTooOld(Version version) {
        return version.getMajorVersion() < 2 || version.getMajorVersion() == 2 && version.getMinorVersion() < 21;
    }
}
