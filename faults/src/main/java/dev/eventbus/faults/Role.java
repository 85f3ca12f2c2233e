package dev.eventbus.faults;

/** What a child process does. */
enum Role {
    PUBLISHER(PublisherMain.class, 2),
    RELAY(RelayMain.class, 2),
    CONSUMER(ConsumerMain.class, 3),
    REDRIVER(RedriverMain.class, 1);

    final Class<?> main;
    final int instances;

    Role(Class<?> main, int instances) {
        this.main = main;
        this.instances = instances;
    }

    String lower() {
        return name().toLowerCase(java.util.Locale.ROOT);
    }
}
