package dev.eventbus.embedded;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;

/** Runs in a child JVM: makes folders, says so, waits to be killed. */
final class FoldersMain {

    private FoldersMain() {}

    public static void main(String[] args) throws IOException {
        Path temporary = Path.of(System.getProperty("java.io.tmpdir"));
        WorkFolder failed = WorkFolder.create("failed");
        Path log = Files.writeString(failed.logs().resolve("log"), "why");
        System.out.println(failed.failure("It did not start", log));
        failed.delete();
        WorkFolder again = WorkFolder.create("again"); // a server that was up, and did not come up again
        Files.writeString(again.data().resolve("rows"), "many");
        System.out.println(again.failure(
                "It did not restart", Files.writeString(again.logs().resolve("log"), "why")));
        WorkFolder mended = WorkFolder.create("mended");
        System.out.println(mended.failure(
                "It did not restart", Files.writeString(mended.logs().resolve("log"), "why")));
        mended.startedWell();
        WorkFolder open = WorkFolder.create("open");
        Files.writeString(open.data().resolve("rows"), "many");
        CacheFolder.obtain(temporary, "cached", into -> {
            Files.writeString(into.resolve("first"), "1");
            System.out.println("all");
            waitToBeKilled();
        });
    }

    private static void waitToBeKilled() throws IOException {
        try {
            new CountDownLatch(1).await();
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
    }
}
