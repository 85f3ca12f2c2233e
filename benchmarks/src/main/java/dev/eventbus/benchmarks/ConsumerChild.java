package dev.eventbus.benchmarks;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The parent's end of a {@link ConsumerProcess}. */
final class ConsumerChild implements AutoCloseable {

    private static final long ENDS_WITHIN_SECONDS = 40;

    /** What the child has said last. */
    record Said(long handled, long repeats, long violations, long heapMebibytes) {}

    private final Process process;
    private final Thread reader = new Thread(this::read, "consumer-process");
    private volatile Said said = new Said(0, 0, 0, 0);
    private volatile long mostHeap;

    private ConsumerChild(Process process) {
        this.process = process;
        reader.start();
    }

    static ConsumerChild start(Servers servers, String what, Backlog backlog, String group, String... options)
            throws Exception {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of(options));
        command.addAll(List.of(
                "-XX:+ExitOnOutOfMemoryError",
                "-cp",
                System.getProperty("java.class.path"),
                ConsumerProcess.class.getName(),
                what,
                servers.bootstrapServers(),
                backlog.topic(),
                Long.toString(backlog.events()),
                Integer.toString(backlog.keys()),
                group,
                servers.deadLetterTopic(),
                servers.postgres().jdbcUrl(),
                servers.postgres().user(),
                servers.postgres().password()));
        return new ConsumerChild(new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start());
    }

    private void read() {
        try (BufferedReader lines = process.inputReader(US_ASCII)) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] words = line.split(" ", -1);
                said = new Said(
                        Long.parseLong(words[0]),
                        Long.parseLong(words[1]),
                        Long.parseLong(words[2]),
                        Long.parseLong(words[3]));
                mostHeap = Math.max(mostHeap, said.heapMebibytes());
            }
        } catch (IOException e) {
            // its end was closed with it
        }
    }

    /** @throws IllegalStateException if it has ended */
    Said said() {
        if (!process.isAlive()) {
            throw new IllegalStateException("the consumer's JVM has ended with code " + process.exitValue());
        }
        return said;
    }

    /** The most that a collection has left so far. */
    long mostHeapMebibytes() {
        return mostHeap;
    }

    /** SIGKILL. Returns what it had said before. */
    Said kill() throws InterruptedException {
        process.destroyForcibly();
        process.waitFor();
        reader.join();
        return said;
    }

    @Override
    public void close() throws IOException, InterruptedException {
        process.getOutputStream().close();
        if (!process.waitFor(ENDS_WITHIN_SECONDS, TimeUnit.SECONDS)) {
            process.destroyForcibly();
        }
        reader.join();
    }
}
