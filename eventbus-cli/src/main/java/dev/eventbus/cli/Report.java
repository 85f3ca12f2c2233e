package dev.eventbus.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** What a command says: facts and tables, for people as text, for programs as one JSON document. */
final class Report {

    /** Blanks between two columns. */
    private static final int GAP = 2;

    private final ObjectMapper mapper = JsonMapper.builder()
            .enable(SerializationFeature.INDENT_OUTPUT)
            .enable(JsonWriteFeature.ESCAPE_NON_ASCII) // a terminal shows it, too
            .build();
    private final ObjectNode document = mapper.createObjectNode();
    private final StringBuilder text = new StringBuilder();

    /** @param name in camel case; people read it as words */
    Report fact(String name, @Nullable Object value) {
        document.putPOJO(name, plain(value));
        text.append(words(name)).append(": ").append(shown(value)).append('\n');
        return this;
    }

    /** A table; its rows have a value for each column. */
    Report table(String name, List<String> columns, List<? extends List<? extends @Nullable Object>> rows) {
        ArrayNode array = document.putArray(name);
        for (List<? extends @Nullable Object> row : rows) {
            ObjectNode object = array.addObject();
            for (int i = 0; i < columns.size(); i++) {
                object.putPOJO(columns.get(i), plain(row.get(i)));
            }
        }
        text.append(words(name))
                .append(": ")
                .append(rows.isEmpty() ? "none" : rows.size())
                .append('\n');
        if (!rows.isEmpty()) {
            text.append(tableOf(columns, rows));
        }
        return this;
    }

    private static String tableOf(List<String> columns, List<? extends List<? extends @Nullable Object>> rows) {
        List<String[]> cells = new ArrayList<>();
        cells.add(columns.stream()
                .map(column -> words(column).toUpperCase(Locale.ROOT))
                .toArray(String[]::new));
        for (List<? extends @Nullable Object> row : rows) {
            cells.add(row.stream().map(value -> String.valueOf(shown(value))).toArray(String[]::new));
        }
        int[] widths = new int[columns.size()];
        for (String[] row : cells) {
            for (int i = 0; i < widths.length; i++) {
                widths[i] = Math.max(widths[i], row[i].length());
            }
        }
        StringBuilder table = new StringBuilder();
        for (String[] row : cells) {
            StringBuilder line = new StringBuilder();
            for (int i = 0; i < widths.length; i++) {
                line.append(row[i]).append(" ".repeat(widths[i] + GAP - row[i].length()));
            }
            table.append(line.toString().stripTrailing()).append('\n');
        }
        return table.toString();
    }

    /** For programs: as it is, and what is absent is null. */
    private static @Nullable Object plain(@Nullable Object value) {
        return value == null || value instanceof Number || value instanceof Boolean ? value : value.toString();
    }

    private static Object shown(@Nullable Object value) {
        return value == null
                ? "-"
                : value instanceof Number || value instanceof Boolean ? value : printable(value.toString());
    }

    /** Whatever it is, one line of a terminal stays one line; nothing is cut. */
    private static String printable(String text) {
        StringBuilder safe = new StringBuilder();
        text.chars().forEach(c -> {
            if (c >= ' ' && c < 127) {
                safe.append((char) c);
            } else {
                safe.append("\\u%04x".formatted(c));
            }
        });
        return safe.toString();
    }

    private static String words(String camelCase) {
        return camelCase.replaceAll("([A-Z])", " $1").toLowerCase(Locale.ROOT);
    }

    void print(PrintWriter out, boolean json) {
        try {
            out.print(json ? mapper.writeValueAsString(document) + "\n" : text.toString());
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("numbers and texts are always JSON", e);
        }
        out.flush();
    }
}
