package dev.eventbus.consumer.inbox;

import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Decides which SQL a handler may not execute, because it would end the transaction that also holds the mark. It looks at how
 * each statement of the text begins, outside of quotes and comments; what a procedure does inside is found after the handler.
 */
final class StatementPolicy {

    private static final Set<String> ENDING = Set.of("COMMIT", "END", "ABORT", "BEGIN");
    private static final Set<String> DDL = Set.of(
            "CREATE",
            "ALTER",
            "DROP",
            "TRUNCATE",
            "GRANT",
            "REVOKE",
            "COMMENT",
            "ANALYZE",
            "RUNSCRIPT",
            "BACKUP",
            "SHUTDOWN");

    private final String sql;
    private int at; // one thread

    private StatementPolicy(String sql) {
        this.sql = sql;
    }

    /** The beginning of the first statement that must not run; null if all may. */
    static @Nullable String refused(String sql, boolean ddlCommits) {
        return new StatementPolicy(sql).refused(ddlCommits);
    }

    private @Nullable String refused(boolean ddlCommits) {
        while (at < sql.length()) {
            String first = word();
            if (ENDING.contains(first) || ddlCommits && DDL.contains(first)) {
                return first;
            }
            String both = first + " " + word();
            switch (both) {
                case "START TRANSACTION", "PREPARE TRANSACTION", "PREPARE COMMIT", "SET AUTOCOMMIT" -> {
                    return both;
                }
                case "ROLLBACK TO" -> {}
                case "ROLLBACK WORK", "ROLLBACK TRANSACTION" -> {
                    if (!word().equals("TO")) {
                        return both;
                    }
                }
                default -> {
                    if (first.equals("ROLLBACK")) {
                        return first;
                    }
                }
            }
            skipStatement();
        }
        return null;
    }

    /** The next word in upper case, empty if something else follows. */
    private String word() {
        while (at < sql.length() && (Character.isWhitespace(sql.charAt(at)) || skipComment())) {
            if (at < sql.length() && Character.isWhitespace(sql.charAt(at))) {
                at++;
            }
        }
        int begin = at;
        while (at < sql.length() && isWordCharacter(sql.charAt(at))) {
            at++;
        }
        return sql.substring(begin, at).toUpperCase(Locale.ROOT);
    }

    private void skipStatement() {
        while (at < sql.length()) {
            char c = sql.charAt(at);
            if (c == ';') {
                at++;
                return;
            }
            if (c == '\'' || c == '"') {
                skipPast(String.valueOf(c), at + 1);
            } else if (c == '$' && !(at > 0 && isWordCharacter(sql.charAt(at - 1)))) {
                skipDollarQuote();
            } else if (!skipComment()) {
                at++;
            }
        }
    }

    private void skipDollarQuote() {
        int end = at + 1;
        while (end < sql.length() && isWordCharacter(sql.charAt(end)) && sql.charAt(end) != '$') {
            end++;
        }
        if (end < sql.length() && sql.charAt(end) == '$' && !Character.isDigit(sql.charAt(at + 1))) {
            skipPast(sql.substring(at, end + 1), end + 1);
        } else {
            at++;
        }
    }

    private boolean skipComment() {
        if (sql.startsWith("--", at)) {
            skipPast("\n", at + 2);
            return true;
        }
        if (sql.startsWith("/*", at)) {
            skipBlockComment();
            return true;
        }
        return false;
    }

    /** They nest. */
    private void skipBlockComment() {
        int depth = 0;
        do {
            if (sql.startsWith("/*", at)) {
                depth++;
                at += 2;
            } else if (sql.startsWith("*/", at)) {
                depth--;
                at += 2;
            } else {
                at++;
            }
        } while (depth > 0 && at < sql.length());
    }

    private void skipPast(String end, int from) {
        int found = sql.indexOf(end, from);
        at = found < 0 ? sql.length() : found + end.length();
    }

    private static boolean isWordCharacter(char c) {
        return Character.isLetterOrDigit(c) || c == '_' || c == '$';
    }
}
