package dev.eventbus.examples.homestarter;

/**
 * What came of it all.
 *
 * @param published changes that were committed
 * @param handled of these, with an effect in Redis
 * @param deadLettered of these, with a letter in the dead-letter topic
 * @param redriven of these, put back for their group
 * @param reprocessed events that had their effect once more because a group was set back on purpose
 * @param lost changes without a record in their topic, or with neither an effect nor a letter
 * @param doubled effects of an event beyond the first, those of reprocessing apart
 * @param reordered effects that came after the effect of a later change of the same user. Dead-lettered events do not count: the later ones
 *     of their user went past them on purpose
 */
record Tally(
        long published,
        long handled,
        long deadLettered,
        long redriven,
        long reprocessed,
        long lost,
        long doubled,
        long reordered) {

    boolean isGood() {
        return lost == 0 && doubled == 0 && reordered == 0;
    }

    @Override
    public String toString() {
        return "published %d · handled %d · dead-lettered %d · redriven %d · reprocessed %d · lost %d · doubled %d · reordered %d"
                .formatted(published, handled, deadLettered, redriven, reprocessed, lost, doubled, reordered);
    }
}
