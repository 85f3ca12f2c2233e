package dev.eventbus.faults;

import dev.eventbus.faults.check.Exits;
import dev.eventbus.faults.check.Findings;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * All child processes: so many instances of each {@link Role}, in different time zones. An instance that was ended is down until
 * somebody starts it again. Thread-safe; of one instance by one thread at a time.
 */
final class Fleet implements AutoCloseable {

    private static final List<String> ZONES = List.of("UTC", "Asia/Seoul", "America/St_Johns", "Pacific/Apia");

    /** One place in the fleet. */
    final class Instance {
        final Role role;
        final int number;
        private @Nullable Child child; // guarded by this
        private boolean mayHalt; // guarded by this

        Instance(Role role, int number) {
            this.role = role;
            this.number = number;
        }

        /** @param jvm more arguments for its JVM; with some it may end by itself */
        synchronized void start(String... jvm) {
            start(jvm.length > 0, jvm);
        }

        /** As one whose handlers fail at nothing for so long. */
        synchronized void startHealed(long millis) {
            start(false, "-D%s=%d".formatted(ConsumerMain.HEALED_PROPERTY, millis));
        }

        private void start(boolean halts, String... jvm) {
            if (closed) {
                return;
            }
            mayHalt = halts;
            List<String> all = new ArrayList<>(List.of(jvm));
            all.add("-Duser.timezone=" + ZONES.get((role.ordinal() + number) % ZONES.size()));
            child = Child.start(role.main, all, arguments(this), log(), watchdog);
        }

        synchronized Child child() {
            if (child == null) {
                throw new IllegalStateException(this + " is down");
            }
            return child;
        }

        /** SIGKILL. */
        synchronized void kill() throws InterruptedException {
            tellUnexpectedEnd();
            if (child != null) {
                child.kill();
                child = null;
            }
        }

        /** In order. */
        synchronized void leave() throws IOException, InterruptedException {
            tellUnexpectedEnd();
            if (child != null && child.isAlive() && child.close()) {
                System.err.println(this + " did not close in time and was killed");
            }
            child = null;
        }

        /** In order, while all is well: then it has to. */
        synchronized void leaveWell() throws IOException, InterruptedException {
            tellUnexpectedEnd();
            if (child != null && child.isAlive()) {
                boolean inTime = !child.close();
                exits.asTold(toString(), inTime, child.exitCode(), log());
            }
            child = null;
        }

        private void tellUnexpectedEnd() {
            if (endedByItself() && !closed) {
                exits.byItself(toString(), role == Role.CONSUMER, mayHalt, child().exitCode(), log());
                child = mayHalt ? child : null;
            }
        }

        /** A line that it hears, if it is up. */
        synchronized void tell(String line) throws IOException {
            if (child != null && child.isAlive()) {
                try {
                    child.say(line);
                } catch (IOException e) {
                    if (child.isAlive()) {
                        throw e;
                    }
                }
            }
        }

        private synchronized boolean endedByItself() {
            return child != null && !child.isAlive();
        }

        private Path log() {
            return folder.resolve("%s-%d.log".formatted(role.lower(), number));
        }

        @Override
        public String toString() {
            return role.lower() + "-" + number;
        }
    }

    private final Servers servers;
    private final Options options;
    private final Path folder;
    private final Watchdog watchdog;
    private final List<Instance> instances = new ArrayList<>();
    private final Exits exits = new Exits();
    private final AtomicInteger starts = new AtomicInteger();
    private volatile boolean closed;

    /** @param folder for the logs */
    Fleet(Servers servers, Options options, Path folder, Watchdog watchdog) {
        this.servers = servers;
        this.options = options;
        this.folder = folder;
        this.watchdog = watchdog;
        for (Role role : Role.values()) {
            for (int number = 0; has(role) && number < role.instances; number++) {
                instances.add(new Instance(role, number));
            }
        }
    }

    /** Nobody is there to redrive where no key is parked. */
    boolean has(Role role) {
        return role != Role.REDRIVER || options.parks();
    }

    Instance instance(Role role, int number) {
        return instances.stream()
                .filter(instance -> instance.role == role && instance.number == number)
                .findFirst()
                .orElseThrow();
    }

    List<Instance> instances() {
        return List.copyOf(instances);
    }

    List<Instance> instances(Role role) {
        return instances.stream().filter(instance -> instance.role == role).toList();
    }

    void startAll() {
        instances.forEach(Instance::start);
    }

    private List<String> arguments(Instance instance) {
        List<String> arguments = new ArrayList<>(servers.database(instance.role));
        switch (instance.role) {
            case PUBLISHER -> {
                arguments.add(String.valueOf(options.rate() / Role.PUBLISHER.instances));
                arguments.add(String.valueOf(options.seed() + 1_000L * starts.incrementAndGet()));
            }
            case RELAY -> {
                arguments.add(servers.bootstrapServers());
                arguments.add(options.sendMode());
            }
            case CONSUMER -> {
                arguments.add(servers.bootstrapServers());
                arguments.add(options.groupProtocol());
                arguments.add(options.inbox());
                arguments.add(options.afterRetries());
            }
            case REDRIVER -> arguments.add(servers.bootstrapServers());
        }
        return arguments;
    }

    /** Starts again what has ended and should not have. */
    void revive() {
        for (Instance instance : instances) {
            synchronized (instance) {
                if (instance.endedByItself() && !instance.mayHalt) {
                    instance.tellUnexpectedEnd();
                    instance.start();
                }
            }
        }
    }

    /**
     * Processes that ended by themselves, or did not end as they should.
     *
     * @param halting how many events end the process that handles them
     */
    Findings findings(int halting) {
        return exits.findings(halting);
    }

    /** How many processes an event has ended that is to do so. */
    int endedByEvents() {
        return exits.byEvents();
    }

    /** Into their logs. */
    void dumpThreads() {
        for (Instance instance : instances) {
            synchronized (instance) {
                if (instance.child != null && instance.child.isAlive()) {
                    instance.child.dumpThreads();
                }
            }
        }
    }

    /**
     * Ends all of a role in order, one after the other.
     *
     * @param allIsWell whether they have to end as they should; not if a server is away
     */
    void leave(Role role, boolean allIsWell) throws IOException, InterruptedException {
        for (Instance instance : instances(role)) {
            if (allIsWell) {
                instance.leaveWell();
            } else {
                instance.leave();
            }
        }
    }

    /** Kills whatever runs. */
    @Override
    public void close() {
        closed = true;
        for (Instance instance : instances) {
            try {
                instance.kill();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
