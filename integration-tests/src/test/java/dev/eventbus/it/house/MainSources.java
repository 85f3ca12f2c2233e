package dev.eventbus.it.house;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Stream;

/** The main sources of the published modules, as text. */
final class MainSources {

    static final Path ROOT = Path.of("..").toAbsolutePath().normalize();
    static final List<String> MODULES = List.of(
            "eventbus-core",
            "eventbus-outbox",
            "eventbus-consumer",
            "eventbus-testkit",
            "eventbus-embedded",
            "eventbus-cli");

    /** A source file; {@code code} is its text without comments. */
    record Source(Path path, String text, String code) {
        String name() {
            return path.getFileName().toString();
        }
    }

    private MainSources() {}

    static List<Source> all() {
        return MODULES.stream().flatMap(module -> of(module).stream()).toList();
    }

    static List<Source> of(String module) {
        try (Stream<Path> files = Files.walk(ROOT.resolve(module).resolve("src/main/java"))) {
            List<Source> sources = files.filter(file -> file.toString().endsWith(".java"))
                    .map(MainSources::read)
                    .toList();
            if (sources.isEmpty()) {
                throw new IllegalStateException("no main sources in " + module + ": the rules would hold for nothing");
            }
            return sources;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Names of the files whose code, comments aside, fits. */
    static List<String> filesWhere(List<Source> sources, Predicate<String> codeFits) {
        return sources.stream()
                .filter(source -> codeFits.test(source.code()))
                .map(Source::name)
                .sorted()
                .toList();
    }

    private static Source read(Path file) {
        try {
            String text = Files.readString(file);
            String code = text.replaceAll("(?s)/\\*.*?\\*/", "").replaceAll("(?m)(^|\\s)//.*$", "");
            return new Source(file, text, code);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
