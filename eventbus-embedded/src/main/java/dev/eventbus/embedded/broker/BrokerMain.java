package dev.eventbus.embedded.broker;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.locks.LockSupport;
import javax.management.MBeanServer;
import javax.management.MalformedObjectNameException;
import javax.management.ObjectName;
import kafka.Kafka;
import kafka.tools.StorageTool;

/**
 * The main class of a node's child process: formats the data folder if that was never done, then runs the node as
 * {@code kafka-server-start.sh} does, and creates the ready file once the node has started.
 *
 * <p>It stands alone: one class file, no inner classes and no other class of ours, since nothing else of this jar
 * is on the child's class path.
 */
final class BrokerMain {

    private static final Duration BETWEEN_LOOKS = Duration.ofMillis(10);

    /** Before a user's name in the properties file; the value is the password. Kafka does not know these. */
    private static final String SCRAM_USER = "eventbus.scram.";

    private BrokerMain() {}

    /** Arguments: the properties file, the cluster's id, the file that says ready. */
    public static void main(String[] args) throws IOException {
        String config = args[0];
        String clusterId = args[1];
        Path ready = Path.of(args[2]);
        Properties properties = new Properties();
        try (var reader = Files.newBufferedReader(Path.of(config))) {
            properties.load(reader);
        }
        if (!Files.exists(Path.of(properties.getProperty("log.dirs"), "meta.properties"))) {
            format(config, clusterId, properties);
        }
        String nodeId = properties.getProperty("node.id");
        ExecutorService probe = Executors.newSingleThreadExecutor();
        probe.execute(() -> announce(nodeId, ready));
        probe.shutdown();
        Kafka.main(new String[] {config});
    }

    private static void format(String config, String clusterId, Properties properties) {
        List<String> command = new ArrayList<>(List.of("format", "--cluster-id=" + clusterId, "--config", config));
        for (String name : properties.stringPropertyNames()) {
            if (name.startsWith(SCRAM_USER)) {
                String user = name.substring(SCRAM_USER.length());
                command.add("--add-scram");
                command.add("SCRAM-SHA-512=[name=%s,password=%s]".formatted(user, properties.getProperty(name)));
            }
        }
        int code = StorageTool.execute(command.toArray(new String[0]), System.out);
        if (code != 0) {
            System.exit(code);
        }
    }

    /**
     * Kafka registers its {@code app-info} as the last act of a start: the controller has unfenced this run of the
     * broker and all listeners are bound. To ask the broker for the cluster would say less: after a crash it lists its
     * former self, from the replayed metadata, as soon as the first listener answers.
     */
    private static void announce(String nodeId, Path ready) {
        MBeanServer beans = ManagementFactory.getPlatformMBeanServer();
        try {
            ObjectName started = new ObjectName("kafka.server:type=app-info,id=" + nodeId);
            while (!beans.isRegistered(started)) {
                LockSupport.parkNanos(BETWEEN_LOOKS.toNanos());
            }
            Files.createFile(ready);
        } catch (MalformedObjectNameException | IOException e) {
            throw new IllegalStateException("Cannot say that node " + nodeId + " is ready", e);
        }
    }
}
