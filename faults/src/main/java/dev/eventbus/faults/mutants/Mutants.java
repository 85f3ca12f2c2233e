package dev.eventbus.faults.mutants;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.tools.ToolProvider;

/**
 * Puts each fault into a copy of the sources, compiles what it changes in front of the class path, and runs the tests that are to see
 * it. First the same tests run without any fault: they must pass, or they prove nothing. A patch that no longer applies is an error.
 */
public final class Mutants {

    private static final Duration LIMIT = Duration.ofMinutes(5);

    private final Path root;
    private final Path work;

    private Mutants(Path root, Path work) {
        this.root = root;
        this.work = work;
    }

    /** @param arguments the project's root, and names of mutants; all without one */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        Path root = Path.of(arguments[0]).toAbsolutePath();
        List<String> wanted = List.of(arguments).subList(1, arguments.length);
        List<Mutant> mutants = new ArrayList<>();
        try (Stream<Path> patches = Files.list(root.resolve("faults/mutants"))) {
            for (Path patch : patches.sorted().toList()) {
                Mutant mutant = Mutant.read(patch);
                if (wanted.isEmpty() || wanted.stream().anyMatch(mutant.name()::startsWith)) {
                    mutants.add(mutant);
                }
            }
        }
        System.exit(allAreSeen(root, mutants, Path.of(System.getProperty("java.io.tmpdir"))) ? 0 : 1);
    }

    /** @param folder in which it works, and leaves nothing */
    static boolean allAreSeen(Path root, List<Mutant> mutants, Path folder) throws IOException, InterruptedException {
        Path work = Files.createTempDirectory(folder, "eventbus-mutants");
        try {
            return new Mutants(root, work).run(mutants);
        } finally {
            delete(work);
        }
    }

    private boolean run(List<Mutant> mutants) throws IOException, InterruptedException {
        Set<String> checked = new HashSet<>();
        boolean sound = true;
        for (Mutant mutant : mutants) {
            if (checked.add(mutant.tests())) {
                Verdict without = test(mutant, List.of());
                sound &= without.status() == TestRun.GREEN;
                System.out.printf(
                        "%-28s %-6s %-11s %s%n",
                        "(no fault)", without.word("green"), mutant.layer(), describe(mutant, without));
            }
        }
        int caught = 0;
        for (Mutant mutant : mutants) {
            Verdict with = test(mutant, List.of(compile(mutant)));
            caught += with.status() == TestRun.RED ? 1 : 0;
            System.out.printf(
                    "%-28s %-6s %-11s %s; %s%n",
                    mutant.name(), with.word("MISSED"), mutant.layer(), mutant.what(), describe(mutant, with));
        }
        System.out.printf("mutants caught %d/%d%n", caught, mutants.size());
        return sound && caught == mutants.size() && caught > 0;
    }

    private static String describe(Mutant mutant, Verdict verdict) {
        return "%s: %s (%d s)"
                .formatted(
                        mutant.tests().replaceFirst(".*\\.", ""),
                        verdict.text(),
                        verdict.took().toSeconds());
    }

    /** Compiles what a mutant changes. Returns where the classes are. */
    private Path compile(Mutant mutant) throws IOException, InterruptedException {
        Path copy = Files.createDirectory(work.resolve(mutant.name()));
        List<String> command = new ArrayList<>();
        for (Path source : mutant.sources()) {
            Path to = copy.resolve(source);
            Files.createDirectories(to.getParent());
            Files.copy(root.resolve(source), to);
        }
        Process apply = new ProcessBuilder("git", "apply", mutant.patch().toString())
                .directory(copy.toFile())
                .inheritIO()
                .start();
        if (apply.waitFor() != 0) {
            throw new IllegalStateException("%s does not apply any more: write it again".formatted(mutant.patch()));
        }
        Path classes = Files.createDirectory(copy.resolve("classes"));
        command.addAll(List.of("-nowarn", "-proc:none", "-parameters", "--release", "17", "-d", classes.toString()));
        command.addAll(List.of("-cp", classPath(mutant)));
        mutant.sources().forEach(source -> command.add(copy.resolve(source).toString()));
        if (ToolProvider.getSystemJavaCompiler().run(null, System.out, System.err, command.toArray(String[]::new))
                != 0) {
            throw new IllegalStateException("%s does not compile any more: write it again".formatted(mutant.patch()));
        }
        return classes;
    }

    private String classPath(Mutant mutant) throws IOException {
        Path target = root.resolve(mutant.module()).resolve("target");
        return String.join(
                ":",
                target.resolve("test-classes").toString(),
                target.resolve("classes").toString(),
                Files.readString(target.resolve("test.classpath")).strip());
    }

    /** How the tests of a mutant ended. */
    private record Verdict(int status, String text, Duration took) {

        String word(String green) {
            return switch (status) {
                case TestRun.GREEN -> green;
                case TestRun.RED -> "red";
                case TestRun.EMPTY -> "EMPTY";
                default -> "BROKEN";
            };
        }
    }

    private Verdict test(Mutant mutant, List<Path> before) throws IOException, InterruptedException {
        List<String> classPath =
                new ArrayList<>(before.stream().map(Path::toString).toList());
        classPath.add(classPath(mutant));
        classPath.add(System.getProperty("java.class.path"));
        Path output = Files.createTempFile(work, "tests", ".log");
        long start = System.nanoTime();
        Process tests = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx1g",
                        "-Dh2.socketConnectRetry=1", // as the build has it: else a database out of reach takes a second
                        // a time
                        "-cp",
                        String.join(":", classPath),
                        TestRun.class.getName(),
                        mutant.tests())
                .directory(root.resolve(mutant.module()).toFile())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        boolean ended = tests.waitFor(LIMIT.toSeconds(), TimeUnit.SECONDS);
        if (!ended) {
            tests.destroyForcibly().waitFor();
        }
        List<String> lines = List.of(new String(Files.readAllBytes(output), StandardCharsets.UTF_8).split("\n"));
        String verdict = lines.stream()
                .filter(line -> line.startsWith(TestRun.VERDICT))
                .findFirst()
                .map(line -> line.substring(TestRun.VERDICT.length()))
                .orElse("");
        boolean told = ended && !verdict.isEmpty();
        if (!told) {
            lines.stream().skip(Math.max(0, lines.size() - 20)).forEach(System.err::println);
        }
        return new Verdict(
                told ? tests.exitValue() : -1,
                told ? verdict : "no verdict within " + LIMIT,
                Duration.ofNanos(System.nanoTime() - start));
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
