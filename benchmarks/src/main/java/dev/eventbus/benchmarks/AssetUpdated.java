package dev.eventbus.benchmarks;

/**
 * The payload of the events that are consumed.
 *
 * @param n the event's number, as ten digits
 */
record AssetUpdated(
        String n,
        String userId,
        String changeType,
        String ownerType,
        String itemType,
        String itemId,
        Long previousAmount,
        Long newAmount,
        Summary summary) {

    record Summary(
            Long totalNetAssets, Long totalMonthlyIncome, Long totalMonthlyExpense, Long monthlyAvailableFunds) {}

    long number() {
        return Long.parseLong(n);
    }
}
