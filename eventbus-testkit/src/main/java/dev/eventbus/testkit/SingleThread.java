package dev.eventbus.testkit;

import java.util.ConcurrentModificationException;
import java.util.concurrent.locks.ReentrantLock;

/** Refuses a second thread instead of letting it wait, as Kafka's consumer does. Calls of one thread nest. */
final class SingleThread {

    /** Being in; ends with {@link #close()}. */
    interface Visit extends AutoCloseable {
        @Override
        void close();
    }

    private final ReentrantLock lock = new ReentrantLock();

    Visit enter() {
        if (!lock.tryLock()) {
            throw new ConcurrentModificationException(
                    "Consumer is not safe for multi-threaded access; another thread is using it");
        }
        return lock::unlock;
    }
}
