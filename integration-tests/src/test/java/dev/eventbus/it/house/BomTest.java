package dev.eventbus.it.house;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** The BOM stands alone, without the parent, so its versions stand there a second time; they must be the same. */
class BomTest {

    @Test
    void the_bom_manages_the_published_modules_and_what_must_fit_them_at_the_versions_of_the_build() throws Exception {
        String parent = Files.readString(MainSources.ROOT.resolve("pom.xml"));
        Map<String, String> bom = versionsIn(Files.readString(MainSources.ROOT.resolve("eventbus-bom/pom.xml")));
        Map<String, String> build = versionsIn(parent);

        assertThat(bom.keySet()).containsAll(MainSources.MODULES).contains("kafka-clients", "slf4j-api");
        bom.forEach((artifact, version) -> assertThat(resolved(build.get(artifact), parent))
                .as("version of %s in the parent", artifact)
                .isEqualTo(version));
        assertThat(Pattern.compile("<version>([^<]+)</version>\\s*<packaging>")
                        .matcher(Files.readString(MainSources.ROOT.resolve("eventbus-bom/pom.xml")))
                        .results()
                        .map(own -> own.group(1)))
                .containsExactly(projectVersion(parent));
    }

    private static Map<String, String> versionsIn(String pom) {
        Map<String, String> versions = new TreeMap<>();
        Matcher dependency = Pattern.compile(
                        "<dependency>\\s*<groupId>[^<]+</groupId>\\s*<artifactId>([^<]+)</artifactId>\\s*<version>([^<]+)</version>")
                .matcher(pom);
        while (dependency.find()) {
            versions.put(dependency.group(1), dependency.group(2));
        }
        return versions;
    }

    private static String resolved(String version, String parent) {
        if (version == null || !version.startsWith("${") || version.equals("${project.version}")) {
            return version;
        }
        String property = version.substring(2, version.length() - 1);
        Matcher value =
                Pattern.compile("<" + Pattern.quote(property) + ">([^<]+)<").matcher(parent);
        return value.find() ? value.group(1) : version;
    }

    private static String projectVersion(String parent) {
        Matcher version = Pattern.compile("<artifactId>eventbus-parent</artifactId>\\s*<version>([^<]+)<")
                .matcher(parent);
        return version.find() ? version.group(1) : "none";
    }
}
