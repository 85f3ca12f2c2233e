package dev.eventbus.internal;

import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Decides which SQL a handler may not execute, because it would end the transaction that also holds the mark, and which may leave
 * something in the session behind it. It looks at how each statement of the text begins, outside of quotes and comments; that a
 * procedure ended the transaction is found after the handler.
 */
public final class StatementPolicy {

    /**
     * What is thought of a text.
     *
     * @param refused the beginning of the first statement that must not run; null if all may
     * @param leavesSomething whether settings, temporary tables, session locks, cursors may outlive the transaction; SET LOCAL counts,
     *     since what the session had must be known before the first SET of either kind
     */
    public record Verdict(@Nullable String refused, boolean leavesSomething) {}

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
            "SHUTDOWN",
            "RENAME",
            "LOCK",
            "UNLOCK",
            "FLUSH",
            "OPTIMIZE",
            "REPAIR");

    private static final Set<String> LEAVING =
            Set.of("SET", "RESET", "LISTEN", "DECLARE", "PREPARE", "DEALLOCATE", "DISCARD", "LOAD", "USE");
    private static final Set<String> TEMPORARY = Set.of("TEMP", "TEMPORARY", "LOCAL", "GLOBAL", "OR");

    /** What leaves something from within an ordinary statement. */
    private static final Pattern LEAVING_INSIDE = Pattern.compile(
            "set_config|advisory_lock|\\bget_lock\\b|\\binto\\s+(local\\s+)?temp|:=", Pattern.CASE_INSENSITIVE);

    private static final Pattern HINT = Pattern.compile("/\\*M?!\\d*|#.*");

    private final String sql;

    // One thread.
    private int at;
    private boolean leaves;

    private StatementPolicy(String sql) {
        this.sql = sql;
    }

    /** What is thought of a text, which may be several statements. */
    public static Verdict of(String sql, boolean ddlCommits) {
        StatementPolicy policy = new StatementPolicy(sql);
        String refused = policy.refused(ddlCommits);
        return new Verdict(refused, policy.leaves || LEAVING_INSIDE.matcher(sql).find());
    }

    private @Nullable String refused(boolean ddlCommits) {
        while (at < sql.length()) {
            String first = word();
            if (ENDING.contains(first)) {
                return first;
            }
            String second = word();
            if (ddlCommits && DDL.contains(first) && !second.equals("TEMPORARY")) {
                return first;
            }
            leaves |= LEAVING.contains(first) && !(first.equals("SET") && second.equals("STATEMENT"))
                    || first.equals("CREATE") && TEMPORARY.contains(second);
            String both = first + " " + second;
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
        while (at < sql.length() && (Character.isWhitespace(sql.charAt(at)) || skipHint() || skipComment())) {
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

    /** MariaDB reads a comment that begins like this: {@code /*!50701 COMMIT} commits. Its line comments may begin with #. */
    private boolean skipHint() {
        Matcher hint = HINT.matcher(sql).region(at, sql.length());
        if (hint.lookingAt()) {
            at = hint.end();
            return true;
        }
        return false;
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
