package dev.eventbus.benchmarks;

import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;

/** The answer to one question, a line for each contestant. */
final class Table {

    private final String title;
    private final List<List<String>> rows = new ArrayList<>();

    Table(String title, String... columns) {
        this.title = title;
        rows.add(List.of(columns));
    }

    void row(String... cells) {
        rows.add(List.of(cells));
    }

    /** A figure, or {@code n/a}. */
    static String cell(OptionalDouble figure, String format) {
        return figure.isPresent() ? String.format(Locale.ROOT, format, figure.getAsDouble()) : "n/a";
    }

    void print(PrintStream out) {
        out.println();
        out.println(title);
        for (List<String> row : rows) {
            StringBuilder line = new StringBuilder("  ");
            for (int i = 0; i < row.size(); i++) {
                int column = i;
                int width = rows.stream()
                        .filter(other -> other.size() > column)
                        .mapToInt(other -> other.get(column).length())
                        .max()
                        .orElse(0);
                String cell = row.get(i);
                String gap = " ".repeat(Math.max(0, width - cell.length()));
                line.append(i == 0 ? cell + gap : "  " + gap + cell);
            }
            out.println(line.toString().stripTrailing());
        }
    }
}
