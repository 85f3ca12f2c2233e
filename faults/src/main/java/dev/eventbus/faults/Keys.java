package dev.eventbus.faults;

import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * 200 keys: one is every eighth event's, as much as one lane can take beside a whole run on two processors; the others are the rarer the
 * later they come. Immutable.
 */
final class Keys {

    static final int COUNT = 200;
    private static final double HOT = 0.125;
    private static final double SKEW = 0.8;

    /** Of the keys from the second on, up to each of them. */
    private final double[] cumulative = new double[COUNT - 1];

    Keys() {
        double sum = 0;
        for (int i = 0; i < cumulative.length; i++) {
            sum += Math.pow(i + 1, -SKEW);
            cumulative[i] = sum;
        }
    }

    /** Of every fourth key nothing but {@code lockKeys} keeps its transactions apart: its last number is read without a lock. */
    static boolean hasNoRowLock(String key) {
        return key.hashCode() % 4 == 0;
    }

    String choose(SplittableRandom random) {
        if (random.nextDouble() < HOT) {
            return "key-0";
        }
        int found = Arrays.binarySearch(cumulative, random.nextDouble() * cumulative[cumulative.length - 1]);
        return "key-" + (1 + (found < 0 ? Math.min(-found - 1, cumulative.length - 1) : found));
    }
}
