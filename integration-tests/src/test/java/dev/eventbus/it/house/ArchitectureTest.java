package dev.eventbus.it.house;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaConstructor;
import com.tngtech.archunit.core.domain.JavaMethod;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.library.dependencies.SliceAssignment;
import com.tngtech.archunit.library.dependencies.SliceIdentifier;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Arrows point one way. */
class ArchitectureTest {

    private static final JavaClasses LIBRARY = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .withImportOption(location -> !location.contains("-tests.jar"))
            .importPackages("dev.eventbus");

    @Test
    void the_whole_library_is_under_test() {
        assertThat(LIBRARY.stream().map(JavaClass::getPackageName).distinct())
                .contains(
                        "dev.eventbus",
                        "dev.eventbus.internal",
                        "dev.eventbus.topics",
                        "dev.eventbus.outbox",
                        "dev.eventbus.outbox.metrics",
                        "dev.eventbus.outbox.sql",
                        "dev.eventbus.consumer",
                        "dev.eventbus.consumer.inbox",
                        "dev.eventbus.consumer.deadletter",
                        "dev.eventbus.consumer.metrics",
                        "dev.eventbus.consumer.redrive",
                        "dev.eventbus.cli",
                        "dev.eventbus.testkit",
                        "dev.eventbus.embedded");
    }

    @Test
    void outbox_and_consumer_know_the_core_only_and_the_core_knows_neither() {
        noClasses()
                .that()
                .resideInAnyPackage("dev.eventbus", "dev.eventbus.internal..", "dev.eventbus.topics..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "dev.eventbus.outbox..",
                        "dev.eventbus.consumer..",
                        "dev.eventbus.testkit..",
                        "dev.eventbus.embedded..")
                .check(LIBRARY);
        noClasses()
                .that()
                .resideInAPackage("dev.eventbus.outbox..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("dev.eventbus.consumer..", "dev.eventbus.testkit..", "dev.eventbus.embedded..")
                .check(LIBRARY);
        noClasses()
                .that()
                .resideInAPackage("dev.eventbus.consumer..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("dev.eventbus.outbox..", "dev.eventbus.testkit..", "dev.eventbus.embedded..")
                .check(LIBRARY);
        noClasses()
                .that()
                .resideInAPackage("dev.eventbus.embedded..")
                .should()
                .dependOnClassesThat(DescribedPredicate.describe(
                        "belong to the rest of the library",
                        type -> type.getPackageName().startsWith("dev.eventbus")
                                && !type.getPackageName().startsWith("dev.eventbus.embedded")))
                .check(LIBRARY);
    }

    @Test
    void nobody_knows_the_command_line() {
        noClasses()
                .that()
                .resideOutsideOfPackage("dev.eventbus.cli..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("dev.eventbus.cli..")
                .check(LIBRARY);
    }

    @Test
    void no_two_packages_import_each_other() {
        slices().assignedFrom(new SliceAssignment() {
                    @Override
                    public SliceIdentifier getIdentifierOf(JavaClass type) {
                        return type.getPackageName().startsWith("dev.eventbus")
                                ? SliceIdentifier.of(type.getPackageName())
                                : SliceIdentifier.ignore();
                    }

                    @Override
                    public String getDescription() {
                        return "one slice a package";
                    }
                })
                .should()
                .beFreeOfCycles()
                .check(LIBRARY);
    }

    @Test
    void internal_types_stand_in_no_public_signature() {
        List<String> leaks = LIBRARY.stream()
                .filter(type -> isVisible(type) && !type.getPackageName().equals("dev.eventbus.internal"))
                .flatMap(type -> Stream.concat(
                        type.getMethods().stream()
                                .filter(method -> isOpen(method.getModifiers()))
                                .filter(method -> Stream.concat(
                                                Stream.of(method.getRawReturnType()),
                                                method.getRawParameterTypes().stream())
                                        .anyMatch(ArchitectureTest::isInternal))
                                .map(method -> method.getFullName()),
                        type.getConstructors().stream()
                                .filter(constructor -> isOpen(constructor.getModifiers()))
                                .filter(constructor -> constructor.getRawParameterTypes().stream()
                                        .anyMatch(ArchitectureTest::isInternal))
                                .map(constructor -> constructor.getFullName())))
                .toList();
        assertThat(leaks).isEmpty();
    }

    @Test
    void a_constructor_has_at_most_5_arguments_but_for_records_which_list_what_they_hold() {
        assertThat(LIBRARY.stream()
                        .filter(type -> !type.isRecord() && !type.isEnum() && !type.isAnonymousClass())
                        .flatMap(type -> type.getConstructors().stream())
                        .filter(constructor -> !constructor.getModifiers().contains(JavaModifier.SYNTHETIC))
                        .filter(constructor -> argumentsOf(constructor) > 5))
                .isEmpty();
    }

    /** What the source has: an inner class is given the one around it, too. */
    private static int argumentsOf(JavaConstructor constructor) {
        JavaClass type = constructor.getOwner();
        boolean inner = type.isMemberClass() && !type.getModifiers().contains(JavaModifier.STATIC);
        return constructor.getRawParameterTypes().size() - (inner ? 1 : 0);
    }

    @Test
    void a_builder_has_at_most_12_options_beside_the_handlers_it_takes() {
        Set<String> handlers = Set.of("on", "onBatch", "inTransaction", "inTransactionBatch");
        Map<String, Set<String>> options = new TreeMap<>();
        LIBRARY.stream()
                .filter(type -> type.getSimpleName().endsWith("Builder"))
                .forEach(type -> options.put(
                        type.getName(),
                        type.getMethods().stream()
                                .filter(method -> isOpen(method.getModifiers())
                                        && method.getRawReturnType().equals(type))
                                .map(JavaMethod::getName)
                                .filter(name -> !handlers.contains(name))
                                .collect(Collectors.toCollection(TreeSet::new))));
        assertThat(options).containsKey("dev.eventbus.consumer.ConsumerRunnerBuilder");
        assertThat(options.values()).allMatch(names -> names.size() <= 12);
    }

    @Test
    void the_library_draws_on_no_framework() {
        noClasses()
                .that()
                .resideInAnyPackage(
                        "dev.eventbus",
                        "dev.eventbus.internal..",
                        "dev.eventbus.topics..",
                        "dev.eventbus.outbox..",
                        "dev.eventbus.consumer..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("org.springframework..", "jakarta..", "org.postgresql..", "org.h2..", "ch.qos..")
                .check(LIBRARY);
    }

    private static boolean isVisible(JavaClass type) {
        return type.getModifiers().contains(JavaModifier.PUBLIC)
                && type.getEnclosingClass().map(ArchitectureTest::isVisible).orElse(true);
    }

    private static boolean isOpen(java.util.Set<JavaModifier> modifiers) {
        return modifiers.contains(JavaModifier.PUBLIC) || modifiers.contains(JavaModifier.PROTECTED);
    }

    private static boolean isInternal(JavaClass type) {
        return type.getPackageName().equals("dev.eventbus.internal");
    }
}
