package dev.eventbus.embedded;

import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;

/** Runs in a child JVM: starts one of each, freezes one of each kind of process, tells all pids, waits to be killed. */
final class ServersMain {

    private ServersMain() {}

    public static void main(String[] args) throws InterruptedException {
        EmbeddedKafka frozen = EmbeddedKafka.start();
        EmbeddedPostgres postgres = EmbeddedPostgres.start();
        EmbeddedPostgres frozenPostgres = EmbeddedPostgres.start();
        frozen.pause(1);
        frozenPostgres.pause();
        Stream.of(frozen.pid(1), postgres.pid(), frozenPostgres.pid())
                .flatMap(pid -> ProcessHandle.of(pid).stream())
                .flatMap(server -> Stream.concat(Stream.of(server), server.children()))
                .forEach(process -> System.out.println(process.pid()));
        System.out.println("all");
        new CountDownLatch(1).await();
    }
}
