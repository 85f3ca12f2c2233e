package dev.eventbus.faults;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class RestraintTest {

    private final Restraint restraint = new Restraint();

    @Test
    @Timeout(30)
    void publishers_wait_while_too_much_has_no_effect_and_go_on_after_that() throws InterruptedException {
        restraint.pass();
        restraint.saw(Restraint.MOST_BEHIND + 1);
        assertThat(restraint.holds()).isTrue();
        Thread publisher = new Thread(restraint::pass);
        publisher.start();
        publisher.join(200);
        assertThat(publisher.isAlive()).isTrue();
        restraint.saw(Restraint.MOST_BEHIND);
        publisher.join(TimeUnit.SECONDS.toMillis(20));
        assertThat(publisher.isAlive()).isFalse();
    }
}
