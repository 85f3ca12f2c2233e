package dev.eventbus.embedded;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Where a node listens: for clients (the only listener that may ask for a password), for the other brokers and for the
 * quorum. {@code advertised} is the port that clients are told, {@code advertisedBroker} the one that other brokers are;
 * each differs from the real one when a proxy stands between.
 */
record NodeAddresses(int node, int client, int advertised, int broker, int advertisedBroker, int controller) {

    private static final String LOOPBACK = "127.0.0.1:";
    private static final int LISTENERS = 3;

    /** The addresses of nodes 1 to n; what is advertised is empty or has a port for each node. */
    static List<NodeAddresses> find(int nodes, List<Integer> advertised, List<Integer> betweenBrokers) {
        List<Integer> free = FreePorts.find(nodes * LISTENERS);
        List<NodeAddresses> found = new ArrayList<>();
        for (int i = 0; i < nodes; i++) {
            int client = free.get(i * LISTENERS);
            int broker = free.get(i * LISTENERS + 1);
            found.add(new NodeAddresses(
                    i + 1,
                    client,
                    advertised.isEmpty() ? client : advertised.get(i),
                    broker,
                    betweenBrokers.isEmpty() ? broker : betweenBrokers.get(i),
                    free.get(i * LISTENERS + 2)));
        }
        return List.copyOf(found);
    }

    static String bootstrapServers(List<NodeAddresses> nodes) {
        return nodes.stream().map(NodeAddresses::advertisedAddress).collect(Collectors.joining(","));
    }

    static String quorumVoters(List<NodeAddresses> nodes) {
        return nodes.stream()
                .map(node -> node.node + "@" + node.controllerAddress())
                .collect(Collectors.joining(","));
    }

    String clientAddress() {
        return LOOPBACK + client;
    }

    String advertisedAddress() {
        return LOOPBACK + advertised;
    }

    String brokerAddress() {
        return LOOPBACK + broker;
    }

    String advertisedBrokerAddress() {
        return LOOPBACK + advertisedBroker;
    }

    String controllerAddress() {
        return LOOPBACK + controller;
    }
}
