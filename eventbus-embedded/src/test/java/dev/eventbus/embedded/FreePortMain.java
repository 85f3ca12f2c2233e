package dev.eventbus.embedded;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;

/** Runs in a child JVM: takes a port where servers listen, and tells whether it is found to be taken. */
final class FreePortMain {

    private FreePortMain() {}

    public static void main(String[] args) throws IOException {
        int port = FreePorts.find(1).get(0);
        try (ServerSocket taken = new ServerSocket(port, 1, InetAddress.getByName("127.0.0.1"))) {
            System.out.println(canOpen(taken.getLocalPort()) ? "free" : "taken");
        }
    }

    private static boolean canOpen(int port) {
        try (ServerSocket opened = FreePorts.open(port)) {
            return opened.isBound();
        } catch (IOException taken) {
            return false;
        }
    }
}
