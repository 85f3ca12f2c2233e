package dev.eventbus.faults;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import org.junit.jupiter.api.Test;

class ComebackTest {

    /** A server that does one thing after another when it is started or looked at. */
    private static final class Slow implements Comeback.Server {

        private final Deque<String> plan;
        private boolean alive;
        private int starts;

        Slow(String... plan) {
            this.plan = new ArrayDeque<>(List.of(plan));
        }

        @Override
        public boolean isAlive() {
            return alive;
        }

        @Override
        public void start() {
            starts++;
            alive = !plan.element().equals("ends");
            if (!plan.remove().equals("serves")) {
                throw new IllegalStateException("was not ready within 60 s");
            }
        }

        @Override
        public boolean answers() {
            alive = !plan.element().equals("ends");
            return plan.remove().equals("serves");
        }
    }

    @Test
    void a_server_that_is_up_in_time_is_started_once() throws InterruptedException {
        Slow server = new Slow("serves");
        Comeback.of("broker 1", server, Comeback.WITHIN);
        assertThat(server.starts).isEqualTo(1);
    }

    @Test
    void one_that_needs_longer_than_it_is_waited_for_is_looked_at_until_it_serves() throws InterruptedException {
        Slow server = new Slow("needs longer", "needs longer", "serves");
        Comeback.of("broker 1", server, Comeback.WITHIN);
        assertThat(server.starts).isEqualTo(1);
    }

    @Test
    void one_that_ends_while_it_starts_is_started_again() throws InterruptedException {
        Slow server = new Slow("needs longer", "ends", "serves");
        Comeback.of("broker 1", server, Comeback.WITHIN);
        assertThat(server.starts).isEqualTo(2);
    }

    @Test
    void one_that_does_not_come_back_is_given_up() {
        assertThatIllegalStateException()
                .isThrownBy(() -> Comeback.of("broker 1", new Slow("needs longer"), Duration.ZERO))
                .withMessage("broker 1 has not come back within 0 s")
                .withCauseInstanceOf(IllegalStateException.class);
    }
}
