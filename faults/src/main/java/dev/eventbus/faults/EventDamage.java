package dev.eventbus.faults;

import dev.eventbus.faults.Schedule.Fault;
import dev.eventbus.faults.check.History.Letter;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.faults.crash.HaltPoint;
import java.io.IOException;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.common.KafkaException;

/** What a {@link Nemesis} does by what handlers do to single events. */
final class EventDamage {

    /** Seven starts, each with a JVM and a group that notices who is gone, on a busy machine. */
    private static final Duration CONVICTED_WITHIN = Duration.ofMinutes(8);

    private static final Duration LOOKS_EVERY = Duration.ofMillis(500);
    private static final int LOOKS_FOR_LETTERS_EVERY = 4;

    /** As long as an instance takes to come back and to run again what was in its hands. */
    private static final long HEALED_MILLIS = 12_000;

    private final Servers servers;
    private final Fleet fleet;

    EventDamage(Servers servers, Fleet fleet) {
        this.servers = servers;
        this.fleet = fleet;
    }

    /** Returns whether an instance has sent a letter, and halted then. */
    boolean healAfterLetter(Fault fault, Fleet.Instance instance) throws Exception {
        CrashPoint.Place place = fault.dice() % 2 == 0 ? CrashPoint.Place.AFTER_SEND : CrashPoint.Place.AFTER_ACK;
        instance.kill();
        instance.start("-D%s=%s:1".formatted(CrashPoint.PROPERTY, place));
        Child child = instance.child();
        boolean halted =
                child.endsWithin(Duration.ofMillis(fault.forMillis())) && child.exitCode() == HaltPoint.AS_BY_SIGKILL;
        if (halted) {
            for (Fleet.Instance consumer : fleet.instances(Role.CONSUMER)) {
                consumer.tell(ConsumerMain.HEALED + HEALED_MILLIS);
            }
        }
        instance.kill();
        if (halted) {
            instance.startHealed(HEALED_MILLIS);
            Damage.pause(HEALED_MILLIS);
        } else {
            instance.start();
        }
        return halted;
    }

    /** Has one such event published and returns when it is dead-lettered. */
    boolean haltHandlers(Fault fault) throws InterruptedException {
        Set<String> before = new HashSet<>();
        if (!sawHalting(before)) {
            return false;
        }
        Set<String> published = new HashSet<>();
        long start = System.nanoTime();
        for (int look = 0; System.nanoTime() - start < CONVICTED_WITHIN.toNanos(); look++) {
            fleet.revive();
            if (look % LOOKS_FOR_LETTERS_EVERY == 0 && sawHalting(published)) {
                published.removeAll(before);
                if (published.isEmpty()) { // not yet, or the publisher was away when it was told
                    tellPublisher(fault.dice() + look / LOOKS_FOR_LETTERS_EVERY);
                } else if (areConvicted(published)) {
                    return true;
                }
            }
            TimeUnit.MILLISECONDS.sleep(LOOKS_EVERY.toMillis());
        }
        throw new IllegalStateException("an event that ends the process was not convicted in " + CONVICTED_WITHIN);
    }

    private void tellPublisher(int number) {
        try {
            fleet.instance(Role.PUBLISHER, number % Role.PUBLISHER.instances).tell(PublisherMain.HALTS);
        } catch (IOException e) {
            System.err.println("not told: " + e);
        }
    }

    /** Whether the database said which such events there are. */
    private boolean sawHalting(Set<String> ids) {
        try {
            ids.addAll(new Witness(servers).haltingEvents());
            return true;
        } catch (SQLException e) { // another fault's doing
            return false;
        }
    }

    /** Whether each has a dead letter, or was parked and given up before its letter could be sent. */
    private boolean areConvicted(Set<String> published) {
        try (TopicReader reader = new TopicReader(servers.bootstrapServers())) {
            Set<String> ended = reader.letters().stream().map(Letter::id).collect(Collectors.toSet());
            ended.addAll(new Witness(servers).givenUp());
            return ended.containsAll(published);
        } catch (KafkaException | SQLException e) { // another fault's doing
            return false;
        }
    }
}
