package dev.eventbus.faults;

import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.faults.crash.HaltPoint;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * Visits each crash point once: an instance runs until it comes there and halts as by a power cut, and the next one takes its place.
 * One publisher, one relay, the consumers and the redriver, if there is one, do so at the same time; the others work on.
 */
final class CrashTour {

    private static final Duration REACHED_WITHIN = Duration.ofSeconds(120);

    /** A consumer that comes has then got its share. */
    private static final Duration HANDS_OVER_WITHIN = Duration.ofSeconds(8);

    /**
     * A place at which a JVM halts.
     *
     * @param name as {@code faults/README.md} lists them
     * @param property which says so to the JVM
     * @param place and which time it is to be
     */
    record Point(String name, String property, String place) {

        static Point crash(String name, CrashPoint.Place place, int times) {
            return new Point(name, CrashPoint.PROPERTY, place + ":" + times);
        }

        static Point halt(String name, HaltPoint.Place place, int times) {
            return new Point(name, HaltPoint.PROPERTY, place + ":" + times);
        }
    }

    private static final List<Point> OF_PUBLISHER = List.of(
            Point.crash("P1", CrashPoint.Place.PUBLISHED, 5),
            Point.crash("P2", CrashPoint.Place.BEFORE_COMMIT, 5),
            Point.crash("P3", CrashPoint.Place.AFTER_COMMIT, 5));

    private static final List<Point> OF_RELAY = List.of(
            Point.crash("R1", CrashPoint.Place.LEASES_TAKEN, 1),
            Point.crash("R2", CrashPoint.Place.BEFORE_SEND, 10),
            Point.crash("R3", CrashPoint.Place.AFTER_SEND, 10),
            Point.crash("R4", CrashPoint.Place.AFTER_ACK, 10),
            Point.crash("R5", CrashPoint.Place.BEFORE_DELETE, 2),
            Point.crash("R6+R7", CrashPoint.Place.AFTER_DELETE, 2)); // a delete commits by itself

    private static final Point HANDING_OVER = Point.halt("C9", HaltPoint.Place.IN_REVOKE, 1);

    /** Each consumer has some that are reached soon and one that waits for an event that is given up. */
    private static final List<List<Point>> OF_CONSUMERS = List.of(
            List.of(
                    Point.halt("C1", HaltPoint.Place.POLLED, 3),
                    Point.halt("C2", HaltPoint.Place.DECODED, 20),
                    Point.crash("D1", CrashPoint.Place.BEFORE_SEND, 1),
                    Point.halt("C5", HaltPoint.Place.BEFORE_COMMIT, 20)),
            List.of(
                    HANDING_OVER,
                    Point.halt("C3", HaltPoint.Place.ATTEMPT_NOTED, 2),
                    Point.halt("C7", HaltPoint.Place.BEFORE_OFFSETS, 3),
                    Point.crash("D2", CrashPoint.Place.AFTER_SEND, 1)),
            List.of(
                    Point.halt("C4", HaltPoint.Place.MARKED, 20),
                    Point.crash("D3", CrashPoint.Place.AFTER_ACK, 1),
                    Point.halt("C6", HaltPoint.Place.AFTER_COMMIT, 20),
                    Point.halt("C8", HaltPoint.Place.AFTER_OFFSETS, 3)));

    private static final List<Point> OF_REDRIVER = List.of(
            Point.crash("V1", CrashPoint.Place.REDRIVE_PLANNED, 1),
            Point.crash("V2", CrashPoint.Place.REDRIVE_HANDED_OVER, 1),
            Point.crash("V3", CrashPoint.Place.REDRIVE_NOTED, 1));

    /** How many there are, in a run that parks keys or in another. */
    static int points(boolean parks) {
        return OF_PUBLISHER.size()
                + OF_RELAY.size()
                + OF_CONSUMERS.stream().mapToInt(List::size).sum()
                + (parks ? OF_REDRIVER.size() : 0);
    }

    private final Fleet fleet;
    private final CountDownLatch handedOver = new CountDownLatch(1);
    private final ConcurrentLinkedQueue<String> reached = new ConcurrentLinkedQueue<>();
    private final ConcurrentLinkedQueue<String> missed = new ConcurrentLinkedQueue<>();

    CrashTour(Fleet fleet) {
        this.fleet = fleet;
    }

    /** Returns when all points were visited and the instances run on as others do. */
    void go() throws InterruptedException, ExecutionException {
        ExecutorService guides = Executors.newCachedThreadPool();
        try {
            List<Future<?>> tours = new ArrayList<>();
            tours.add(guides.submit(() -> visit(fleet.instance(Role.PUBLISHER, 0), OF_PUBLISHER)));
            tours.add(guides.submit(() -> visit(fleet.instance(Role.RELAY, 0), OF_RELAY)));
            for (int i = 0; i < OF_CONSUMERS.size(); i++) {
                Fleet.Instance consumer = fleet.instance(Role.CONSUMER, i);
                List<Point> points = OF_CONSUMERS.get(i);
                tours.add(guides.submit(() -> visit(consumer, points) && comeAndGo(consumer)));
            }
            if (fleet.has(Role.REDRIVER)) {
                tours.add(guides.submit(() -> visit(fleet.instance(Role.REDRIVER, 0), OF_REDRIVER)));
            }
            for (Future<?> tour : tours) {
                tour.get();
            }
        } finally {
            guides.shutdownNow();
        }
    }

    private boolean visit(Fleet.Instance instance, List<Point> points) throws InterruptedException {
        for (Point point : points) {
            instance.kill();
            instance.start("-D%s=%s".formatted(point.property(), point.place()));
            Child child = instance.child();
            boolean halted = child.endsWithin(REACHED_WITHIN) && child.exitCode() == HaltPoint.AS_BY_SIGKILL;
            System.err.printf(
                    "%tT crash point %s %s%n", System.currentTimeMillis(), point.name(), halted ? "reached" : "MISSED");
            (halted ? reached : missed).add(point.name());
            if (point.equals(HANDING_OVER)) {
                handedOver.countDown();
            }
        }
        instance.kill();
        instance.start();
        return true;
    }

    /**
     * Nothing is handed over in a group that nobody leaves or joins. One alone does so: two that take turns hand over to each other,
     * and nothing to a third.
     */
    private boolean comeAndGo(Fleet.Instance consumer) throws IOException, InterruptedException {
        synchronized (handedOver) {
            while (!handedOver.await(HANDS_OVER_WITHIN.toSeconds(), TimeUnit.SECONDS)) {
                consumer.leave();
                consumer.start();
            }
        }
        return true;
    }

    List<String> reached() {
        return List.copyOf(reached);
    }

    /** How many of them were reached by instances of a role. */
    int reachedBy(Role role) {
        Set<String> ofRole = pointsOf(role).stream().map(Point::name).collect(Collectors.toSet());
        return (int) reached.stream().filter(ofRole::contains).count();
    }

    private static List<Point> pointsOf(Role role) {
        return switch (role) {
            case PUBLISHER -> OF_PUBLISHER;
            case RELAY -> OF_RELAY;
            case CONSUMER -> OF_CONSUMERS.stream().flatMap(List::stream).toList();
            case REDRIVER -> OF_REDRIVER;
        };
    }

    /** Points that nobody came to, so nothing is known of them. */
    List<String> missed() {
        return List.copyOf(missed);
    }
}
