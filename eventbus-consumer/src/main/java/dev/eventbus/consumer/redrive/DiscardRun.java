package dev.eventbus.consumer.redrive;

import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.Redrive.Source;
import dev.eventbus.consumer.redrive.RedriveStore.Answer;
import dev.eventbus.internal.RunLoop;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/** Gives up what was planned, and what cannot be redriven; once. One thread. */
final class DiscardRun {

    /** Standings of letters that nothing else is to become of. */
    static final Set<Standing> CAN_BE_GIVEN_UP = EnumSet.of(
            Standing.READY,
            Standing.TOO_OFTEN,
            Standing.INCOMPLETE,
            Standing.WITHOUT_KEY,
            Standing.ID_CONFLICT,
            Standing.FOREIGN_TOPIC,
            Standing.NO_OFFSETS);

    private final List<Found> letters;
    private final Map<ParkedKey, Set<String>> keys;
    private final RedriveAudit audit;
    private final int stopsAfter;
    private final RedriveStore store;
    private final Tally tally = new Tally();

    /** @param keys parked ones, each with those of its events that were seen */
    DiscardRun(Source source, RedrivePlan.Asked asked, List<Found> letters, Map<ParkedKey, Set<String>> keys) {
        this.letters = letters;
        this.keys = keys;
        this.audit = new RedriveAudit(source, asked);
        this.stopsAfter = asked.pace().stopsAfter();
        this.store = new RedriveStore(Objects.requireNonNull(source.inbox()), source.group());
    }

    long planned() {
        return letters.size() + keys.values().stream().mapToLong(Set::size).sum();
    }

    /** @param others letters that are not among those, by their standings */
    RedriveResult discard(Map<Standing, Long> others, String reason) {
        audit.begin("discard", reason, planned());
        try {
            tally.leaveAlone(others);
            discard();
        } catch (RuntimeException e) {
            audit.failed(tally, planned(), e);
            throw e;
        }
        return audit.end(tally, planned(), tally.stopped == null ? "DONE" : "STOPPED");
    }

    private void discard() {
        for (Found found : letters) {
            if (!mayGoOn()) {
                return;
            }
            Standing standing = discard(found);
            if (standing == Standing.READY) {
                tally.discarded++;
            } else {
                tally.leaveAlone(standing, 1);
            }
        }
        for (Map.Entry<ParkedKey, Set<String>> key : keys.entrySet()) {
            if (!mayGoOn()) {
                return;
            }
            discard(key.getKey(), key.getValue());
        }
    }

    private boolean mayGoOn() {
        if (tally.stopped == null && Thread.currentThread().isInterrupted()) {
            tally.stopped = "interrupted";
        }
        return tally.stopped == null;
    }

    private Standing discard(Found found) {
        Answer[] answer = {new Answer(Standing.HELD, null)};
        RunLoop.await(KeyStore.HELD_FOR, () -> {
            answer[0] = store.discard(found);
            return answer[0].standing() != Standing.HELD;
        });
        SQLException refusal = answer[0].refusal();
        if (refusal != null) {
            tally.refuses(audit.id(), found, refusal, stopsAfter);
        }
        return answer[0].standing();
    }

    /** Those that were planned and no others; what has been parked since stays. */
    private void discard(ParkedKey parked, Set<String> planned) {
        long[] gone = {0};
        List<String> left = new ArrayList<>();
        RunLoop.await(KeyStore.HELD_FOR, KeyStore.LOOKS_AGAIN, () -> {
            if (!Thread.currentThread().isInterrupted()) { // a pool gives it no connection
                gone[0] += store.keys().discard(parked, planned);
                left.clear();
                left.addAll(store.keys().eventIds(parked));
            }
            return left.stream().noneMatch(planned::contains);
        });
        long held = left.stream().filter(planned::contains).count();
        tally.discarded += gone[0];
        tally.leaveAlone(Standing.HELD, held);
        tally.leaveAlone(Standing.ALREADY_APPLIED, planned.size() - gone[0] - held);
        tally.leaveAlone(Standing.PARKED, left.size() - held);
    }
}
