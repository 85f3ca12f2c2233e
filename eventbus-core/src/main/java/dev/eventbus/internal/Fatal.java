package dev.eventbus.internal;

/** Which of what others' code throws is nobody's to keep. */
public final class Fatal {

    private Fatal() {}

    /**
     * Throws on an error of the virtual machine itself, and does nothing about anything else: that is a failure of whoever threw it,
     * whatever its class. Of a stack that ran over only the caller's own is gone, so it is one of these.
     */
    public static void rethrow(Throwable thrown) {
        if (thrown instanceof VirtualMachineError broken && !(thrown instanceof StackOverflowError)) {
            throw broken;
        }
    }
}
