package dev.eventbus.benchmarks;

import dev.eventbus.Event;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.inbox.JdbcInbox;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Who takes part in which of the consumer's questions. A quick run has only whom a printed ratio needs. */
final class ConsumerLineup {

    static final String RAW = "raw loop";
    static final String RAW_JSON = "raw loop, binding JSON";
    static final String HAND_WRITTEN = "hand-written transactions of 200";
    static final String US = Lineup.US;
    static final String US_INBOX = "eventbus, inTransaction, batching(200)";
    static final String US_INBOX_ALONE = "eventbus, inTransaction";
    static final String US_INBOX_BATCH = "eventbus, inTransactionBatch, batching(200)";
    static final String SPRING = "spring-kafka";
    static final String PARALLEL = "parallel-consumer";

    /** Threads of the question with handlers that block. */
    static final int BLOCKING_THREADS = 64;

    private static final int BATCH = 200;

    /**
     * A contestant, and what the measured handler does beside being counted.
     *
     * @param inBatches whether many events share a transaction, so that it is given more of them
     * @param handler for a contestant that writes by itself, nothing
     */
    record Writing(Consuming contestant, boolean inBatches, Consuming.Handler handler) {}

    private final Set<String> peers;
    private final boolean quick;

    ConsumerLineup(Options options) {
        this.peers = options.peers();
        this.quick = options.quick();
    }

    List<Consuming> forNoop() {
        List<Consuming> all = new ArrayList<>(
                List.of(new RawPollLoop(RAW, false), new RawPollLoop(RAW_JSON, true), EventbusConsumer.of(US)));
        if (!quick) {
            all.addAll(peers(ConsumerRunnerBuilder.DEFAULT_CONCURRENCY));
        }
        return all;
    }

    List<Consuming> forBlocking() {
        List<Consuming> all = new ArrayList<>(List.of(EventbusConsumer.of(US).concurrency(BLOCKING_THREADS)));
        if (!quick && peers.contains(Options.PARALLEL_CONSUMER)) {
            all.add(new ParallelConsumer(PARALLEL, BLOCKING_THREADS));
        }
        return all;
    }

    List<Writing> forInbox(Ledger ledger, Backlog backlog) {
        Consuming.Handler nothing = number -> {};
        Consuming.Handler once = number -> ledger.once(number, Backlog.keyText(backlog.keyOf(number)));
        List<Writing> all = new ArrayList<>();
        all.add(new Writing(new HandWrittenTransactions(HAND_WRITTEN), true, nothing));
        all.add(new Writing(inTransaction(US_INBOX, ledger, BATCH), true, nothing));
        all.add(new Writing(inTransactionBatch(US_INBOX_BATCH, ledger), true, nothing));
        if (!quick) {
            all.add(new Writing(inTransaction(US_INBOX_ALONE, ledger, 1), false, nothing));
        }
        if (peers.contains(Options.SPRING_KAFKA)) {
            all.add(new Writing(new SpringConsumer(SPRING), false, once));
        }
        if (!quick && peers.contains(Options.PARALLEL_CONSUMER)) {
            all.add(new Writing(
                    new ParallelConsumer(PARALLEL, ConsumerRunnerBuilder.DEFAULT_CONCURRENCY), false, once));
        }
        return all;
    }

    List<Consuming> forPoison() {
        List<Consuming> all = new ArrayList<>(List.of(EventbusConsumer.of(US)));
        if (!quick) {
            all.addAll(peers(ConsumerRunnerBuilder.DEFAULT_CONCURRENCY));
        }
        return all;
    }

    List<Consuming> forJoining() {
        List<Consuming> all = new ArrayList<>(List.of(new RawPollLoop(RAW, false), EventbusConsumer.of(US)));
        if (!quick) {
            all.addAll(peers(ConsumerRunnerBuilder.DEFAULT_CONCURRENCY));
        }
        return all;
    }

    /** One event per call, in a transaction with its mark, which it shares with as many others at most. */
    private static EventbusConsumer inTransaction(String name, Ledger ledger, int batching) {
        JdbcInbox inbox = JdbcInbox.postgres(ledger.dataSource()).batching(batching);
        return EventbusConsumer.of(name)
                .handling((builder, type, handler) -> builder.inTransaction(inbox, type, (event, tx) -> {
                    long number = event.payload().number();
                    Ledger.book(tx.connection(), number, event.key());
                    handler.handle(number);
                }));
    }

    /** As many events per call, whose effects are one statement. */
    private static EventbusConsumer inTransactionBatch(String name, Ledger ledger) {
        JdbcInbox inbox = JdbcInbox.postgres(ledger.dataSource()).batching(BATCH);
        return EventbusConsumer.of(name)
                .handling((builder, type, handler) -> builder.inTransactionBatch(inbox, type, (events, tx) -> {
                    List<Long> numbers = events.stream()
                            .map(event -> event.payload().number())
                            .toList();
                    Ledger.bookAll(
                            tx.connection(),
                            numbers,
                            events.stream().map(Event::key).toList());
                    for (long number : numbers) {
                        handler.handle(number);
                    }
                }));
    }

    private List<Consuming> peers(int concurrency) {
        List<Consuming> all = new ArrayList<>();
        if (peers.contains(Options.SPRING_KAFKA)) {
            all.add(new SpringConsumer(SPRING));
        }
        if (peers.contains(Options.PARALLEL_CONSUMER)) {
            all.add(new ParallelConsumer(PARALLEL, concurrency));
        }
        return all;
    }
}
