package dev.eventbus.consumer.redrive;

/** Where a letter stands in the dead-letter topic. */
record Position(int partition, long offset) {

    static Position of(Found found) {
        return new Position(found.letter().partition(), found.letter().offset());
    }
}
