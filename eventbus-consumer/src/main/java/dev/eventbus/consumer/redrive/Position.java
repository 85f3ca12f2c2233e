package dev.eventbus.consumer.redrive;

/** Where a record stands in its topic. */
record Position(int partition, long offset) {

    /** In the dead-letter topic. */
    static Position of(Found found) {
        return new Position(found.letter().partition(), found.letter().offset());
    }
}
