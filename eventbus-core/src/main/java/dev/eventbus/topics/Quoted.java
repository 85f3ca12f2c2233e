package dev.eventbus.topics;

import java.util.regex.Pattern;

/** Text put safely into another language. */
final class Quoted {

    private static final Pattern PLAIN_WORD = Pattern.compile("[A-Za-z0-9_./:=,@%+-]+");
    private static final Pattern REGEX_SYNTAX = Pattern.compile("[\\\\.+*?()|\\[\\]{}^$]");

    private Quoted() {}

    /** One word of a POSIX shell. */
    static String shell(String text) {
        return PLAIN_WORD.matcher(text).matches() ? text : "'" + text.replace("'", "'\\''") + "'";
    }

    /** A YAML scalar that is a string whatever it looks like. */
    static String yaml(String text) {
        if (text.codePoints().allMatch(Quoted::isPlainInYaml)) {
            return "'" + text.replace("'", "''") + "'";
        }
        StringBuilder quoted = new StringBuilder("\"");
        text.codePoints().forEach(c -> {
            if (c == '"' || c == '\\') {
                quoted.append('\\').appendCodePoint(c);
            } else if (isPlainInYaml(c)) {
                quoted.appendCodePoint(c);
            } else {
                quoted.append("\\U%08X".formatted(c));
            }
        });
        return quoted.append('"').toString();
    }

    /** A string literal of PromQL. */
    static String promql(String text) {
        return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + "\"";
    }

    /** A regular expression (RE2) that matches this text only. */
    static String regex(String text) {
        // a dollar sign stands in brackets, since dashboards take one before a word for a variable
        return REGEX_SYNTAX
                .matcher(text)
                .replaceAll(found -> found.group().equals("$") ? "[\\$]" : "\\\\\\" + found.group());
    }

    /** No control character, no line break of any kind, no half of a pair, no byte order mark. */
    private static boolean isPlainInYaml(int c) {
        return c >= ' '
                && (c < 127 || c >= 0xA0)
                && c != 0x2028
                && c != 0x2029
                && c != 0xFEFF
                && (c < Character.MIN_SURROGATE || c > Character.MAX_SURROGATE)
                && c < 0xFFFE;
    }
}
