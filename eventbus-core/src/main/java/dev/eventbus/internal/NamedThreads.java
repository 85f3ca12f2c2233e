package dev.eventbus.internal;

import java.time.Duration;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Threads that carry the name of what they work for, numbered from 1. */
public final class NamedThreads implements ThreadFactory {

    private static final Duration IDLE_ONE_LIVES = Duration.ofSeconds(60);

    private final String name;
    private final AtomicInteger made = new AtomicInteger();

    public NamedThreads(String name) {
        this.name = name;
    }

    /** A pool of so many of these, which end when they have had nothing to do for a minute. */
    public static ExecutorService pool(String name, int threads) {
        ThreadPoolExecutor pool = new ThreadPoolExecutor(
                threads,
                threads,
                IDLE_ONE_LIVES.toSeconds(),
                TimeUnit.SECONDS,
                new LinkedBlockingQueue<>(),
                new NamedThreads(name));
        pool.allowCoreThreadTimeOut(true);
        return pool;
    }

    @Override
    public Thread newThread(Runnable work) {
        return RunLoop.thread(name + "-" + made.incrementAndGet(), work);
    }
}
