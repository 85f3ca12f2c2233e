package dev.eventbus.topics;

import java.util.Collection;
import java.util.Comparator;
import java.util.Optional;

/** Finds what somebody probably meant. */
final class Similar {

    private Similar() {}

    /** The name nearest to a misspelt one; empty if none is near. */
    static Optional<String> to(String misspelt, Collection<String> names) {
        int near = Math.max(2, misspelt.length() / 5);
        return names.stream()
                .filter(name -> Math.abs(name.length() - misspelt.length()) <= near)
                .filter(name -> distance(misspelt, name) <= near)
                .min(Comparator.<String>comparingInt(name -> distance(misspelt, name))
                        .thenComparing(name -> name));
    }

    /** Levenshtein's: characters to add, take away or change. */
    private static int distance(String a, String b) {
        int[] previous = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) {
            previous[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int[] current = new int[b.length() + 1];
            current[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int change = a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1;
                current[j] = Math.min(Math.min(current[j - 1], previous[j]) + 1, previous[j - 1] + change);
            }
            previous = current;
        }
        return previous[b.length()];
    }
}
