package dev.eventbus.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Random stories of failures, restarts, owners that come and go, redrives and discards by two people with plans old and new. */
class RedriveStoriesTest extends RedriveStage {

    private static final int STEPS = 14;
    private static final List<String> USERS = List.of("ann", "bob", "cid");

    @Test
    void every_event_has_its_effect_once_but_for_the_discarded_parked_keys_keep_their_order_and_no_other_key_starves()
            throws SQLException {
        for (int seed = 0; seed < 250; seed++) {
            for (String table : List.of("booked", "eventbus_parked_event", "eventbus_parked_key", "eventbus_inbox")) {
                execute("DELETE FROM " + table);
            }
            failing.clear();
            new Story(seed).tell();
        }
    }

    private final class Story {

        private final String name;
        private final Random random;
        private final boolean parks;
        private final FakeEventBus own = FakeEventBus.create();
        private final Deque<ConsumerRunner> owners = new ArrayDeque<>();
        private final Map<String, Integer> published = new HashMap<>();
        private final Redrive redrive =
                Redrive.of(own.kafka(), GROUP, "dlq", inbox).mostRedrives(1_000);

        Story(int seed) {
            this.name = "seed " + seed;
            this.random = new Random(seed);
            this.parks = random.nextBoolean();
        }

        void tell() throws SQLException {
            try (own) {
                own.topic("bookings", 2).topic("dlq", 1);
                comes();
                RedrivePlan one = redrive.plan();
                RedrivePlan other = one;
                for (int step = 0; step < STEPS; step++) {
                    String user = USERS.get(random.nextInt(USERS.size()));
                    switch (random.nextInt(10)) {
                        case 0 -> restarts();
                        case 1 -> failing.add(user + (published.getOrDefault(user, 0) + 1));
                        case 2 -> {
                            if (random.nextBoolean()) {
                                failing.clear();
                            }
                            one = redrive.key(user).plan();
                        }
                        case 3 -> one.run("a plan, perhaps an old one");
                        case 4 -> {
                            other = random.nextBoolean() ? redrive.plan() : other;
                            other.run("somebody else's");
                        }
                        case 5 -> {
                            if (random.nextInt(4) == 0) {
                                (random.nextBoolean()
                                                ? other
                                                : redrive.key(user).plan()) // then also what is being redriven
                                        .discard("nobody needs it");
                            }
                        }
                        case 6 -> own.faults().rebalance(GROUP);
                        default -> publish(user);
                    }
                    own.advance(Duration.ofMillis(random.nextInt(2_000)));
                    if (step % 5 == 0) {
                        publish("zoe");
                        own.advance(Duration.ofSeconds(5));
                        assertThat(booked("zoe"))
                                .as("%s: a key without a fault", name)
                                .containsExactlyElementsOf(numbersOf("zoe"));
                    }
                }
                own.runUntilIdle();
                failing.clear();
                redrive.plan().run("all is mended");
                own.runUntilIdle();
                check();
            }
        }

        private void comes() {
            owners.add(once(own, parks ? AfterRetries.parkKey(inbox, "dlq") : AfterRetries.deadLetter("dlq")));
        }

        /** Before or after another one has come, so that there are two for a while. */
        private void restarts() {
            if (owners.size() > 1 || random.nextBoolean()) {
                owners.remove().close();
            }
            if (owners.isEmpty() || random.nextBoolean()) {
                comes();
            }
        }

        private void publish(String user) {
            own.publish(BOOKING, new Booking(user, published.merge(user, 1, Integer::sum)));
        }

        private void check() throws SQLException {
            for (String user : List.of("ann", "bob", "cid", "zoe")) {
                var effects = assertThat(booked(user)).as("%s: effects of %s", name, user);
                if (parks) {
                    effects.containsExactlyElementsOf(numbersOf(user));
                } else {
                    effects.containsExactlyInAnyOrderElementsOf(numbersOf(user));
                }
            }
            assertThat(inbox.parking().load(GROUP)).as(name).isEmpty();
        }

        /** All that were published and not discarded. */
        private List<Integer> numbersOf(String user) throws SQLException {
            Set<String> discarded = new HashSet<>(
                    strings("SELECT UTF8TOSTRING(event_id) FROM eventbus_inbox WHERE outcome = 'SKIPPED'"));
            return own.events(BOOKING).stream()
                    .filter(event -> event.payload().user().equals(user))
                    .filter(event -> !discarded.contains(event.id()))
                    .map(Event::payload)
                    .map(Booking::n)
                    .toList();
        }
    }
}
