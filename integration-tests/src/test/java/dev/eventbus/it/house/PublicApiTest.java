package dev.eventbus.it.house;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaCodeUnit;
import com.tngtech.archunit.core.domain.JavaField;
import com.tngtech.archunit.core.domain.JavaMember;
import com.tngtech.archunit.core.domain.JavaMethod;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.domain.JavaType;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What users may write against is what is written down: a change of it is seen, and goes with a line in the changelog. */
class PublicApiTest {

    private static final String PARKING = "dev.eventbus.consumer.parking";
    private static final String INBOX = "dev.eventbus.consumer.inbox";
    private static final String STORE = INBOX + ".ParkingStore";
    private static final Path GOLDEN =
            MainSources.ROOT.resolve("integration-tests/src/test/resources/golden/api/public.txt");

    @Test
    void the_public_contract_is_as_it_was_agreed_on() throws IOException {
        Set<String> api = new TreeSet<>();
        new ClassFileImporter()
                        .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
                        .withImportOption(location -> !location.contains("-tests.jar"))
                        .withImportOption(
                                location -> MainSources.MODULES.stream().anyMatch(location::contains))
                        .importPackages("dev.eventbus")
                        .stream()
                        .filter(PublicApiTest::isPromised)
                        .forEach(type -> describe(type, api));
        Path made = Path.of("target", "public.txt");
        Files.write(made, api);

        assertThat(api).as("types and members looked at").hasSizeGreaterThan(500);
        assertThat(api)
                .as(
                        "if the change is meant, write it into CHANGELOG.md and copy integration-tests/%s to src/test/resources/golden/api",
                        made)
                .containsExactlyElementsOf(Files.readAllLines(GOLDEN));
    }

    /** The engine's own types in parking and inbox are public for its other packages only, as their pages say. */
    private static boolean isPromised(JavaClass type) {
        String outermost = type.getName().replaceFirst("\\$.*", "");
        return isOpen(type)
                && switch (type.getPackageName()) {
                    case PARKING ->
                        Set.of(PARKING + ".ParkedKey", PARKING + ".ParkedEvent").contains(outermost);
                    case INBOX -> Set.of(INBOX + ".JdbcInbox", STORE).contains(outermost);
                    default -> !type.getPackageName().matches(".*\\.internal(\\..*)?|dev\\.eventbus\\.outbox\\.sql");
                };
    }

    private static boolean isPromised(JavaMember member) {
        boolean ofMarks = member instanceof JavaCodeUnit unit
                && Stream.concat(Stream.of(unit.getReturnType()), unit.getParameterTypes().stream())
                        .anyMatch(type -> type.getName().contains(INBOX + ".Mark"));
        return isOpen(member.getModifiers())
                && !ofMarks
                && (!member.getOwner().getName().equals(STORE)
                        || Set.of("load", "redrive", "discard").contains(member.getName()));
    }

    private static boolean isOpen(JavaClass type) {
        return isOpen(type.getModifiers())
                && !type.isAnonymousClass()
                && type.getEnclosingClass().map(PublicApiTest::isOpen).orElse(true);
    }

    private static boolean isOpen(Set<JavaModifier> modifiers) {
        return (modifiers.contains(JavaModifier.PUBLIC) || modifiers.contains(JavaModifier.PROTECTED))
                && !modifiers.contains(JavaModifier.SYNTHETIC)
                && !modifiers.contains(JavaModifier.BRIDGE);
    }

    private static void describe(JavaClass type, Set<String> api) {
        String above = type.getRawInterfaces().stream()
                .map(JavaClass::getName)
                .sorted()
                .collect(Collectors.joining(", "));
        api.add("%s: %s%s%s"
                .formatted(
                        type.getName(),
                        modifiers(type.getModifiers()),
                        type.isInterface()
                                ? "interface"
                                : type.isEnum() ? "enum" : type.isRecord() ? "record" : "class",
                        above.isEmpty() ? "" : " of " + above));
        type.getMembers().stream().filter(PublicApiTest::isPromised).forEach(member -> api.add(describe(type, member)));
    }

    private static String describe(JavaClass type, JavaMember member) {
        String what = "%s#%s".formatted(type.getName(), member.getName());
        if (member instanceof JavaField field) {
            return "%s: %s%s".formatted(what, modifiers(member.getModifiers()), name(field.getType()));
        }
        JavaCodeUnit unit = (JavaCodeUnit) member;
        String parameters =
                unit.getParameterTypes().stream().map(PublicApiTest::name).collect(Collectors.joining(", ", "(", ")"));
        String thrown = unit.getExceptionTypes().stream()
                .map(JavaClass::getName)
                .sorted()
                .collect(Collectors.joining(", "));
        return what
                + parameters
                + ": "
                + modifiers(member.getModifiers())
                + (member instanceof JavaMethod method ? name(method.getReturnType()) : "constructor")
                + (thrown.isEmpty() ? "" : " throws " + thrown);
    }

    /** With what it is of, as {@code java.util.List<java.lang.String>}. */
    private static String name(JavaType type) {
        return type.getName();
    }

    private static String modifiers(Set<JavaModifier> modifiers) {
        return modifiers.stream()
                .filter(
                        Set.of(JavaModifier.PROTECTED, JavaModifier.STATIC, JavaModifier.FINAL, JavaModifier.ABSTRACT)
                                ::contains)
                .map(modifier -> modifier.name().toLowerCase(Locale.ROOT) + " ")
                .sorted()
                .collect(Collectors.joining());
    }
}
