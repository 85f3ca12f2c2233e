package dev.eventbus.benchmarks;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Who takes part in which question, under which name. */
final class Lineup {

    static final String RAW = "raw loop";
    static final String RAW_AGAIN = "raw loop again";
    static final String US = "eventbus";
    static final String US_TWICE = "eventbus, 2 instances in one JVM";
    static final String US_STRICT = "eventbus, STRICT";
    static final String US_LOOKING = "eventbus, without committed()";
    static final String US_ELSEWHERE = "eventbus, relay in another JVM";
    static final String GRUELBOX = "gruelbox";
    static final String DEBEZIUM = "debezium";

    private final Set<String> peers;

    /** @param peers which of the peers are asked for */
    Lineup(Set<String> peers) {
        this.peers = peers;
    }

    List<Contestant> forDraining() {
        return withPeers(
                new RawLoop(RAW),
                EventbusRelay.of(US),
                EventbusRelay.of(US_TWICE).instances(2),
                EventbusRelay.of(US_STRICT).strict());
    }

    List<Contestant> forCpu() {
        return withPeers(new RawLoop(RAW), EventbusRelay.of(US));
    }

    List<Contestant> forLatency() {
        return withPeers(
                new RawLoop(RAW),
                new RawLoop(RAW_AGAIN),
                EventbusRelay.of(US),
                EventbusRelay.of(US_LOOKING).findingCommitsByLooking(),
                new EventbusProcess(US_ELSEWHERE, "256m"));
    }

    /** Whether it is one of our own forms, which all have our name in front. */
    static boolean isUs(String name) {
        return name.startsWith(US);
    }

    /** Whether a peer is asked for. */
    boolean has(String peer) {
        return peers.contains(peer);
    }

    private List<Contestant> withPeers(Contestant... others) {
        List<Contestant> all = new ArrayList<>(List.of(others));
        if (has("gruelbox")) {
            all.add(new GruelboxOutbox(GRUELBOX));
        }
        if (has("debezium")) {
            all.add(new DebeziumOutbox(DEBEZIUM));
        }
        return all;
    }
}
